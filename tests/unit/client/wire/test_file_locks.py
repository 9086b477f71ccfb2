"""One file has one lock name, however its path is written and from whichever directory."""

from __future__ import annotations

from pathlib import Path

import pytest

from waggle.wire.errors import BadRequest
from waggle.wire.file_locks import UNKNOWN_ROOT, Place, lock_name, lock_pattern, repository


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A process in src/ of a repository with a file, and a link to it."""
    root = tmp_path.resolve() / "shop"
    (root / "src" / "deep").mkdir(parents=True)
    (root / ".git").mkdir()
    (root / "src" / "a.py").write_text("")
    (root / "src" / "link.py").symlink_to("a.py")
    (root / "out").symlink_to("/")
    (tmp_path / "door").symlink_to(root)
    return Place(root, root / "src")


@pytest.mark.parametrize(
    "said", ["src/a.py", "./a.py", "src/./a.py", "src//a.py", "src/deep/../a.py", "src\\a.py", "../src/a.py", ".\\a.py"]
)
def test_a_file_has_one_name(place: Place, said: str) -> None:
    assert lock_name(said, place) == "src/a.py"


def test_an_absolute_path_is_within_the_repository_by_whatever_link(place: Place, tmp_path: Path) -> None:
    assert lock_name(f"{place.root}/src/a.py", place) == "src/a.py"
    assert lock_name(f"{tmp_path}/door/src/a.py", place) == "src/a.py"


def test_a_link_has_the_lock_name_of_its_target(place: Place) -> None:
    assert lock_name("src/link.py", place) == lock_name("./link.py", place) == "src/a.py"


def test_a_link_that_leads_out_keeps_its_own_name(place: Place) -> None:
    assert lock_name("out", place) == "out"


@pytest.mark.parametrize("name", ["deploy", "task:7", "merge to main", "http://host//a", "src/[id].tsx", "a b", "über"])
def test_a_name_that_is_no_path_is_kept_in_every_directory(place: Place, name: str) -> None:
    assert lock_name(name, place) == lock_name(name, UNKNOWN_ROOT) == name


def test_a_name_that_is_composed_in_another_way_is_the_same(place: Place) -> None:
    assert lock_name("u\u0308ber.py", place) == lock_name("\u00fcber.py", UNKNOWN_ROOT) == "\u00fcber.py"


def test_a_file_outside_of_the_repository_keeps_its_absolute_path(place: Place) -> None:
    assert lock_name("/etc/hosts-of-nobody", place) == "/etc/hosts-of-nobody"
    assert lock_name("../../elsewhere", place) == f"{place.root.parent if place.root else ''}/elsewhere"


def test_a_path_that_leads_out_by_its_text_alone_is_refused(place: Place) -> None:
    with pytest.raises(BadRequest, match="within"):
        lock_name("src/../../x", place)


@pytest.mark.parametrize("said", ["/src/a.py", "../a.py", "..", "C:\\src\\a.py", "./../a.py"])
def test_where_the_repository_is_unknown_only_what_needs_none_is_a_name(said: str) -> None:
    with pytest.raises(BadRequest, match="relative to the repository"):
        lock_name(said, UNKNOWN_ROOT)
    assert lock_name("./src/a.py", UNKNOWN_ROOT) == "src/a.py"


@pytest.mark.parametrize(
    ("said", "pattern"),
    [
        ("src/*.py", "src/*.py"),
        ("./*.py", "src/*.py"),
        ("../docs/**", "docs/**"),
        ("*", "*"),
        ("./*", "src/*"),
        ("src//deep/?", "src/deep/?"),
        ("task:*", "task:*"),
        ("src/\\[id\\]/*", "src/\\[id\\]/*"),
        ("src/a.py", "src/a.py"),
    ],
)
def test_of_a_pattern_what_stands_before_its_wildcards_is_a_path(place: Place, said: str, pattern: str) -> None:
    assert lock_pattern(said, place) == pattern


def test_an_absolute_pattern_is_within_the_repository(place: Place) -> None:
    assert lock_pattern(f"{place.root}/src/*", place) == "src/*"
    assert lock_pattern(f"{place.root}/*", place) == "*"


def test_the_repository_is_found_from_within(place: Place) -> None:
    assert place.root is not None
    assert repository(place.root / "src" / "deep") == place.root
    assert repository(Path("/")) is None

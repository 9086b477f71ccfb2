r"""What a key, a namespace, an agent's name and a pattern look like, and which keys a pattern matches (protocol 4, 5).

Laws of names:

1. A key (a lock's name, a channel) is 1 to 255 characters. A character is a code point: nothing is normalised or
   folded, two keys are the same when their code points are.
2. It has no control characters (Unicode category Cc), no white space at either end, no lone surrogates (which no
   UTF-8 can carry). All else is allowed, ``*`` and ``/`` included.

Laws of patterns:

3. ``*`` is any run of characters, also none; ``**`` is the same. ``?`` is one character. Both take any character:
   ``/``, ``:``, a newline, a leading dot. The whole key must match, and case counts.
4. ``[abc]``, ``[a-z]``, ``[!x]`` are one character in, or not in, a class. ``!`` negates only as the first of the
   class, and ``^`` never does. ``]`` always closes, so ``[]`` and ``[!]`` are empty, an error, also where more
   follows: ``[]a]`` is to be written ``[\]a]``. ``-`` between two members makes a range and is itself elsewhere:
   ``[-a]``, ``[a-]``, ``[a-c-e]`` (a to c, -, e); as in POSIX ``[+--]`` runs from + to -. There are no named
   classes: ``[[:alpha:]]`` is one of ``[:alph`` and then ``]``.
5. ``\`` takes the next character as itself, in classes too (``[a\-z]`` has three members). Alone, the characters
   ``]``, ``!``, ``-``, ``^``, ``{`` and ``}`` are themselves.
6. A pattern is 1 to 255 characters. It may hold what no key can, such as a newline; that part matches nothing.
7. Patterns are equal when they have the same canonical form, however written: ``a**`` and ``a*``, ``*?`` and
   ``?*``, ``[a]`` and ``\a`` and ``a``, ``[abc]`` and ``[a-c]``. ``text`` is as it was written.
8. Matching is linear in the key's length for every pattern, and compiles no regular expression.

How law 8 is kept: the stars cut a pattern into *segments* of fixed length. The first must stand at the start of the
key, the last at its end, those between somewhere in between, in order. Taking for each the leftmost place after
the one before is enough, since an earlier place leaves more room to the rest: nothing is ever tried again. A
segment of plain text is found by ``str.find``, any other by Shift-And: one integer holds, bit by bit, which
beginnings of the segment end at the present character, so that each character of the key costs one shift and one
mask, whatever the pattern.
"""

from __future__ import annotations

import re
import sys
from bisect import bisect_right
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final

from waggle.wire.errors import BadRequest

__all__ = [
    "AGENT",
    "ANY",
    "MAX_AGENT",
    "MAX_KEY",
    "Class",
    "Pattern",
    "Piece",
    "check_agent",
    "check_key",
    "check_ns",
    "compile_pattern",
    "quoted",
]

MAX_KEY: Final = 255
"""Characters of a key, name, channel or pattern."""

MAX_AGENT: Final = 100
"""Characters of an agent's name."""

_CHARACTER = r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]"

AGENT: Final = rf"(?![\s$]){_CHARACTER}{{1,{MAX_AGENT}}}(?<!\s)"
"""What an agent's name matches from end to end, as Python and JavaScript write it."""

COMPILED: Final = 1024
"""Compiled patterns kept for those who ask again: about 1 KB each, 50 KB at the very worst."""

_is_key: Final = re.compile(rf"(?!\s){_CHARACTER}{{1,{MAX_KEY}}}(?<!\s)").fullmatch
_is_agent: Final = re.compile(AGENT).fullmatch
_is_ns: Final = re.compile(r"[a-zA-Z0-9_.-]{1,64}").fullmatch
_is_hub_ns: Final = re.compile(r"\$?[a-zA-Z0-9_.-]{1,64}").fullmatch
_control: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]").search
_surrogate: Final = re.compile(r"[\ud800-\udfff]").search


# --- names -------------------------------------------------------------------------------------------------------


def check_key(text: str, field: str = "key") -> None:
    """Raise BadRequest, naming ``field``, unless ``text`` can be a key, a lock's name or a channel."""
    if _is_key(text) is None:
        raise BadRequest(_what_is_wrong(text, field, MAX_KEY), field=field)


def check_agent(text: str, field: str = "agent") -> None:
    """Raise BadRequest, naming ``field``, unless an agent can have the name ``text``."""
    if _is_agent(text) is None:
        raise BadRequest(_what_is_wrong(text, field, MAX_AGENT), field=field)


def check_ns(text: str, field: str = "ns", hub: bool = False) -> None:
    """Raise BadRequest, naming ``field``, unless ``text`` can be a namespace; ``hub`` lets those with $ through."""
    if (_is_hub_ns if hub else _is_ns)(text) is not None:
        return
    if not hub and _is_hub_ns(text) is not None:
        message = f"{field} starts with $, which is for the hub's own namespaces: choose another"
    else:
        message = f"{field} is not a namespace: use 1 to 64 of the letters a to z and A to Z, digits, and _ . -"
    raise BadRequest(message, field=field)


def _what_is_wrong(text: str, field: str, most: int) -> str:
    """The message for a name that was refused: what is wrong with it, and what to do."""
    if not text:
        return f"{field} is empty: give it 1 to {most} characters"
    if len(text) > most:
        return f"{field} has {len(text)} characters: shorten it to at most {most}"
    if found := _control(text):
        return f"{field} has the control character U+{ord(found[0]):04X} at {found.start()}: remove it"
    if found := _surrogate(text):
        return f"{field} has half a surrogate pair at {found.start()}: send valid Unicode"
    if text != text.strip():
        return f"{field} has white space at one of its ends: strip it"
    return f"{field} starts with $, which is for the hub's own names: choose another"


# --- reading patterns --------------------------------------------------------------------------------------------

Class = tuple[str, ...]
"""A set of characters, as the points, in order, at which membership flips: a character is in it if the number of
points at or below it is odd. ``[a-z]`` is ``("a", "{")``, none is ``()``, and all is ANY and no other object."""

Piece = str | Class
"""Part of a segment: plain text, or one character of a class."""

ANY: Final[Class] = ("\0",)
_END: Final = sys.maxunicode + 1
_plain: Final = re.compile(r"[^*?\[\\]+").match


def _parse(text: str) -> list[list[Piece]]:
    """The segments between the stars of ``text``, in canonical form; one more than there are (runs of) stars.

    A ``?`` after a star goes before it, where it belongs to a segment whose place is known sooner.
    """
    segments: list[list[Piece]] = [[]]
    at = 0
    while at < len(text):
        piece, at = _piece(text, at)
        last = segments[-1]
        after_star = len(segments) > 1 and not last
        if piece is None:
            if not after_star:
                segments.append([])
        elif piece is ANY and after_star:
            segments[-2].append(piece)
        elif last and isinstance(piece, str) and isinstance(last[-1], str):
            last[-1] += piece
        else:
            last.append(piece)
    return segments


def _piece(text: str, at: int) -> tuple[Piece | None, int]:
    """The piece that begins at ``at`` (None for a star), and where the next one begins."""
    match text[at]:
        case "*":
            return None, at + 1
        case "?":
            return ANY, at + 1
        case "[":
            return _class(text, at)
        case "\\":
            if at + 1 == len(text):
                raise BadRequest(r"the pattern ends in a single \: write \\ for a backslash, or remove it")
            return text[at + 1], at + 2
        case _:
            plain = _plain(text, at)
            assert plain is not None
            return plain[0], plain.end()


def _class(text: str, opening: int) -> tuple[Piece, int]:
    """The class whose bracket is at ``opening``, and the place after it; plain text if it has but one member."""
    negated = text.startswith("!", opening + 1)
    at = opening + 1 + negated
    ranges: list[tuple[int, int]] = []
    while not text.startswith("]", at):
        low, at = _member(text, at, opening)
        high = low
        if text.startswith("-", at) and not text.startswith("]", at + 1):
            high, at = _member(text, at + 1, opening)
        if high < low:
            raise BadRequest(
                f"the range {chr(low)}-{chr(high)} runs backwards: swap its ends, or write \\- for a hyphen"
            )
        ranges.append((low, high + 1))
    if not ranges:
        raise BadRequest(rf"the class at {opening} is empty: name its characters, or write \] for a bracket in it")
    return _canonical(ranges, negated), at + 1


def _member(text: str, at: int, opening: int) -> tuple[int, int]:
    """The code point of the member at ``at`` of a class, and the place after it."""
    at += text.startswith("\\", at)
    if at >= len(text):
        raise BadRequest(rf"the class at {opening} is not closed: add ], or write \[ for a bracket")
    return ord(text[at]), at + 1


def _canonical(ranges: list[tuple[int, int]], negated: bool) -> Piece:
    """The class of all ``ranges`` (from, to just before), or of all but them; plain text if that is one character."""
    flips: list[int] = []
    for low, high in sorted(ranges):
        if flips and low <= flips[-1]:
            flips[-1] = max(flips[-1], high)
        else:
            flips += (low, high)
    if negated:
        flips = flips[1:] if flips[0] == 0 else [0, *flips]
    if flips and flips[-1] == _END:
        flips.pop()
    if flips == [0]:
        return ANY
    if flips == [_END - 1] or (len(flips) == 2 and flips[1] - flips[0] == 1):
        return chr(flips[0])
    return tuple(map(chr, flips))


# --- matching ----------------------------------------------------------------------------------------------------


class _Segment:
    """What stands between two stars: a row of pieces, of fixed ``length``.

    ``plain`` is its text if it is plain but for ``?`` at the end, else None.
    """

    __slots__ = ("_pad", "_shift_and", "length", "pieces", "plain")

    def __init__(self, pieces: Sequence[Piece]) -> None:
        length = pad = 0
        plain: str | None = ""
        for piece in pieces:
            if piece is ANY:
                length += 1
                pad += 1
            elif isinstance(piece, str):
                plain = piece if length == 0 else None
                length += len(piece)
            else:
                plain = None
                length += 1
        self.pieces = tuple(pieces)
        self.length = length
        self.plain = plain
        self._pad = pad
        self._shift_and: Callable[[str, int, int], int] | None = None

    def stands_at(self, key: str, at: int) -> bool:
        """Whether it matches at ``at``, given that ``key`` is long enough."""
        if self.plain is not None:
            return key.startswith(self.plain, at)
        for piece in self.pieces:
            if isinstance(piece, str):
                if not key.startswith(piece, at):
                    return False
                at += len(piece)
            else:
                if not bisect_right(piece, key[at]) & 1:
                    return False
                at += 1
        return True

    def find(self, key: str, start: int, end: int) -> int:
        """Where its leftmost match within ``key[start:end]`` ends, or -1."""
        if self.plain is not None:
            at = key.find(self.plain, start, end - self._pad)
            return at if at < 0 else at + self.length
        if self._shift_and is None:
            self._shift_and = _shift_and(self.pieces, self.length)
        return self._shift_and(key, start, end)


def _shift_and(pieces: Sequence[Piece], length: int) -> Callable[[str, int, int], int]:
    """A function that finds the leftmost match of ``pieces``, as ``_Segment.find`` does.

    Between two points at which membership in any of the places flips, all characters have the same mask. So there
    are only as many masks as such points, at most two for each character of the pattern.
    """
    flips: dict[str, int] = {}
    bit = 1
    for piece in pieces:
        for members in map(_only, piece) if isinstance(piece, str) else (piece,):
            for point in members:
                flips[point] = flips.get(point, 0) ^ bit
            bit <<= 1
    points = sorted(flips)
    masks = [0]
    for point in points:
        masks.append(masks[-1] ^ flips[point])
    whole = 1 << (length - 1)

    def find(key: str, start: int, end: int) -> int:
        begun = 0
        for at in range(start, end):  # a slice would be a copy of the rest of the key for each segment
            begun = (begun << 1 | 1) & masks[bisect_right(points, key[at])]
            if begun >= whole:
                return at + 1
        return -1

    return find


def _only(character: str) -> Class:
    """The class of one character."""
    after = ord(character) + 1
    return (character,) if after == _END else (character, chr(after))


class Pattern:
    """A pattern, ready to match. Equal to every other that is the same but for the way it is written (law 7)."""

    __slots__ = (
        "_first", "_hash", "_last", "_least", "_middle", "exact", "only_prefix", "prefix", "runs", "segments", "text",
    )  # fmt: skip

    text: str
    """As it was written."""
    exact: str | None
    """The one key it matches, if it holds no wildcard."""
    prefix: str
    """What every key that it matches begins with."""
    only_prefix: bool
    """Whether it matches every key with that prefix."""
    runs: tuple[str, ...]
    """The plain text in it after the prefix: every key that it matches has these, in this order, not overlapping."""
    segments: tuple[tuple[Piece, ...], ...]
    """The canonical form: the pieces of what stands before, between and after its stars."""

    def __init__(self, text: str) -> None:
        """Read ``text``; raises BadRequest, without a field, if it is no pattern."""
        if not text:
            raise BadRequest("the pattern is empty: write * for every key")
        if len(text) > MAX_KEY:
            raise BadRequest(f"the pattern has {len(text)} characters: shorten it to at most {MAX_KEY}")
        if found := _surrogate(text):
            raise BadRequest(f"the pattern has half a surrogate pair at {found.start()}: send valid Unicode")
        segments = [_Segment(pieces) for pieces in _parse(text)]
        self.text = text
        self._first, *self._middle = segments
        self._last = self._middle.pop() if self._middle else None
        self._least = sum(segment.length for segment in segments)
        self.segments = tuple(segment.pieces for segment in segments)
        self._hash = hash(self.segments)
        runs = [piece for segment in segments for piece in segment.pieces if isinstance(piece, str)]
        opening = self._first.pieces[:1]
        self.prefix = runs.pop(0) if opening and isinstance(opening[0], str) else ""
        self.runs = tuple(runs)
        plain = len(self.prefix) == self._least
        self.exact = self.prefix if plain and self._last is None else None
        self.only_prefix = plain and self._last is not None

    def match(self, key: str) -> bool:
        """Whether ``key``, the whole of it, is one that the pattern means."""
        if self.exact is not None:
            return key == self.exact
        if len(key) < self._least or not self._first.stands_at(key, 0):
            return False
        if self._last is None:
            return len(key) == self._least
        end = len(key) - self._last.length
        if not self._last.stands_at(key, end):
            return False
        at = self._first.length
        for segment in self._middle:
            at = segment.find(key, at, end)
            if at < 0:
                return False
        return True

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Pattern):
            return NotImplemented
        return self is other or (self._hash == other._hash and self.segments == other.segments)

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        return f"Pattern({self.text!r})"


_compiled = lru_cache(maxsize=COMPILED)(Pattern)


def compile_pattern(text: str, field: str = "pattern") -> Pattern:
    """The Pattern that ``text`` says; raises BadRequest, naming ``field``, if it says none."""
    try:
        return _compiled(text)
    except BadRequest as error:
        raise BadRequest(error.message, field=field) from None


def quoted(text: str) -> str:
    """The pattern that matches this text and nothing else."""
    return "".join(f"\\{character}" if character in "*?[\\" else character for character in text)

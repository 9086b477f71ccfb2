"""The dashboard's files: static, all from this hub. `origin_check` adds the security headers."""

from __future__ import annotations

from pathlib import Path

from starlette.staticfiles import StaticFiles


def web_directory() -> Path:
    """Return the directory of the dashboard's files: in the package when installed, else at the top of the
    checkout."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "web"
    return installed if installed.is_dir() else package.parent.parent / "web"


def static_files() -> StaticFiles:
    """Make the application that serves the dashboard's files."""
    return StaticFiles(directory=web_directory(), html=True)

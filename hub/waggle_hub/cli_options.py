"""The options of `waggle serve`, and the settings that they make."""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path
from typing import Any

from .settings import EVERY, GIB, KIB, MIB, Bounds, Limits, Quota, Settings

_LIMITS, _SETTINGS = Limits(), Settings()
_DOCUMENT = Limits(keys=9_000, log_events=5_000)
"""What a document has room for, that is written anew each time: 10,000 entries with those of the hub itself."""
_UNITS = {"": 1, "k": KIB, "m": MIB, "g": GIB}
_MOST = 2**53
_TIMES = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}


def parser() -> argparse.ArgumentParser:
    """What `waggle serve` understands."""
    found = argparse.ArgumentParser(prog="waggle serve", description="Start a hub.")
    found.add_argument("--host", default=_SETTINGS.host, help="address to listen on (default: %(default)s)")
    found.add_argument("--port", type=_port, default=_SETTINGS.port, help="default: %(default)s; 0 for any free one")
    found.add_argument("--insecure", action="store_true", help="listen beyond loopback although no token is asked for")
    found.add_argument("--allow-host", action="append", default=[], metavar="NAME", help="a name of this machine")
    found.add_argument("--allow-origin", action="append", default=[], metavar="ORIGIN", help="a page that may connect")
    found.add_argument("--idle", type=_seconds, metavar="TIME", help="stop when nobody was connected for so long: 10m")
    _add_data(found)
    _add_limits(found)
    return found


def _add_data(found: argparse.ArgumentParser) -> None:
    data = found.add_argument_group("data")
    where = data.add_mutually_exclusive_group()
    where.add_argument(
        "--data", type=Path, metavar="DIR", help="keep data here (default: your data directory, one for each port)"
    )
    where.add_argument("--memory", action="store_true", help="keep nothing on disk")
    data.add_argument(
        "--durability",
        choices=["full", "relaxed"],
        default=_SETTINGS.durability,
        help="full: what was answered is on disk; relaxed: it will be within 50 ms (default: %(default)s)",
    )
    data.add_argument(
        "--journal",
        choices=["sqlite", "json"],
        default=_SETTINGS.journal,
        help="an SQLite database, or one JSON document for up to 10,000 entries (default: %(default)s)",
    )
    data.add_argument(
        "--backups", type=_count, default=_SETTINGS.backups, metavar="N", help="backups to keep (default: %(default)s)"
    )
    data.add_argument("--backup-every", type=_seconds, metavar="TIME", help="make a backup this often: 1h, 1d")


def _add_limits(found: argparse.ArgumentParser) -> None:
    limits = found.add_argument_group("limits", "Sizes may end in k, m or g, times in s, m, h or d.")
    limits.add_argument("--max-keys", type=_some, default=_LIMITS.keys, metavar="N", help="default: %(default)s")
    limits.add_argument("--max-bytes", type=_size, default=_LIMITS.bytes, metavar="SIZE", help="default: %(default)s")
    limits.add_argument(
        "--quota", type=_quota, action="append", default=[], metavar="NS=KEYS[,SIZE]",
        help="what a namespace may hold; NS may be * for each that is not named",
    )  # fmt: skip
    limits.add_argument(
        "--default-ttl", type=_ttl, action="append", default=[], metavar="[NS=]TIME",
        help="how long what is set without a ttl is kept",
    )  # fmt: skip
    limits.add_argument(
        "--history", type=_count, default=_LIMITS.history, metavar="N",
        help="earlier versions that a versioned entry keeps (default: %(default)s)",
    )  # fmt: skip
    limits.add_argument(
        "--log-events", type=_some, default=_LIMITS.log_events, metavar="N",
        help="events that are kept to be told again (default: %(default)s)",
    )  # fmt: skip
    limits.add_argument("--log-bytes", type=_size, default=_LIMITS.log_bytes, metavar="SIZE", help="and their size")
    limits.add_argument("--log-age", type=_seconds, metavar="TIME", help="and how old they may be (default: any age)")


def settings_of(args: argparse.Namespace, port: int, bounds: Bounds, limits: dict[str, Any]) -> Settings:
    """The settings of a hub that listens on this port."""
    small = args.journal == "json" and not args.memory
    chosen = {
        "keys": min(args.max_keys, _DOCUMENT.keys) if small else args.max_keys,
        "bytes": args.max_bytes,
        "quotas": dict(args.quota),
        "default_ttls": dict(args.default_ttl),
        "history": args.history,
        "log_events": min(args.log_events, _DOCUMENT.log_events) if small else args.log_events,
        "log_bytes": args.log_bytes,
        "log_age": args.log_age,
    }
    return Settings(
        host=args.host,
        port=port,
        insecure=args.insecure,
        allowed_hosts=tuple(args.allow_host),
        allowed_origins=tuple(args.allow_origin),
        data=None if args.memory else args.data or data_directory(port),
        durability=args.durability,
        journal=args.journal,
        backups=args.backups,
        backup_every=args.backup_every,
        idle=args.idle,
        limits=Limits(**{**chosen, **limits}),
        bounds=bounds,
    )


def data_directory(port: int) -> Path:
    """Where the hub of this port keeps its data if nobody says where (XDG base directories)."""
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / "waggle" / str(port)


def _port(text: str) -> int:
    return _whole(text, 0, 65_535, "a port: 1 to 65535, or 0 for any free one")


def _count(text: str) -> int:
    return _whole(text, 0, _MOST, "a whole number, 0 or more")


def _some(text: str) -> int:
    return _whole(text, 1, _MOST, "a whole number, 1 or more")


def _whole(text: str, least: int, most: int, wanted: str) -> int:
    if not (text.isdecimal() and text.isascii()) or not least <= int(text) <= most:
        raise argparse.ArgumentTypeError(f"{text!r} is not {wanted}")
    return int(text)


def _size(text: str) -> int:
    return int(_number(text.removesuffix("b").removesuffix("i"), _UNITS, "a size: 512m, 2g"))


def _seconds(text: str) -> float:
    return _number(text, _TIMES, "a time: 30s, 10m, 12h, 7d")


def _number(text: str, units: dict[str, Any], wanted: str) -> float:
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([a-z]?)", text.lower())
    if found is None or found[2] not in units or not float(found[1]):
        raise argparse.ArgumentTypeError(f"{text!r} is not {wanted}")
    return float(found[1]) * float(units[found[2]])


def _quota(text: str) -> tuple[str, Quota]:
    ns, _, rest = text.rpartition("=")
    keys, _, size = rest.partition(",")
    if not ns or not (keys or size) or (keys and not keys.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} is not a quota: drafts=1000, drafts=1000,10m or drafts=,10m")
    return ns, Quota(keys=int(keys) if keys else None, bytes=_size(size) if size else None)


def _ttl(text: str) -> tuple[str, float]:
    ns, _, ttl = text.rpartition("=")
    return ns or EVERY, _seconds(ttl)

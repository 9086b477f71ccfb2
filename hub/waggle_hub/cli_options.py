"""The options of `waggle serve`, and their conversion to settings."""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path
from typing import Any

from waggle.wire.durations import parse_duration

from .settings import EVERY, GIB, KIB, MIB, Bounds, Limits, Quota, Settings

_LIMITS, _SETTINGS = Limits(), Settings()
_JSON_LIMITS = Limits(keys=9_000, log_events=5_000)
"""Limits of the JSON journal, which writes the whole document each time: 10,000 entries with those of the hub."""
_SIZE_UNITS = {"": 1, "k": KIB, "m": MIB, "g": GIB}
"""Bytes in each unit of size."""
_MAX_INTEGER = 2**53
"""The largest integer that JSON carries exactly to every client."""


def parser() -> argparse.ArgumentParser:
    """Return the parser of `waggle serve`."""
    options = argparse.ArgumentParser(prog="waggle serve", description="Start a hub.")
    options.add_argument("--host", default=_SETTINGS.host, help="address to listen on (default: %(default)s)")
    options.add_argument("--port", type=_port, default=_SETTINGS.port, help="default: %(default)s; 0 for any free one")
    options.add_argument("--insecure", action="store_true", help="listen beyond loopback, although there are no tokens")
    options.add_argument("--allow-host", action="append", default=[], metavar="NAME", help="a name of this machine")
    options.add_argument(
        "--allow-origin", action="append", default=[], metavar="ORIGIN", help="a page that may connect"
    )
    options.add_argument("--idle", type=_seconds, metavar="TIME", help="stop after so long without a connection: 10m")
    _add_data(options)
    _add_limits(options)
    return options


def _add_data(options: argparse.ArgumentParser) -> None:
    data = options.add_argument_group("data")
    where = data.add_mutually_exclusive_group()
    where.add_argument(
        "--data", type=Path, metavar="DIR", help="keep data here (default: your data directory, one for each port)"
    )
    where.add_argument("--memory", action="store_true", help="keep nothing on disk")
    data.add_argument(
        "--durability",
        choices=["full", "relaxed"],
        default=_SETTINGS.durability,
        help="full: each reply comes after its change is on disk; relaxed: within 50 ms (default: %(default)s)",
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
    data.add_argument(
        "--accept-older",
        action="store_true",
        help="accept data that is older than the hub has left it: sessions end, and a new epoch begins",
    )


def _add_limits(options: argparse.ArgumentParser) -> None:
    limits = options.add_argument_group("limits", "Sizes may end in k, m or g, times in ms, s, m, h or d.")
    limits.add_argument("--max-keys", type=_positive, default=_LIMITS.keys, metavar="N", help="default: %(default)s")
    limits.add_argument("--max-bytes", type=_size, default=_LIMITS.bytes, metavar="SIZE", help="default: %(default)s")
    limits.add_argument(
        "--quota", type=_quota, action="append", default=[], metavar="NS=KEYS[,SIZE]",
        help="limit a namespace; NS may be * for each that has no quota of its own",
    )  # fmt: skip
    limits.add_argument(
        "--default-ttl", type=_ttl, action="append", default=[], metavar="[NS=]TIME",
        help="the ttl of entries that are set without one",
    )  # fmt: skip
    limits.add_argument(
        "--history", type=_count, default=_LIMITS.history, metavar="N",
        help="earlier versions that a versioned entry keeps (default: %(default)s)",
    )  # fmt: skip
    limits.add_argument(
        "--log-events", type=_positive, default=_LIMITS.log_events, metavar="N",
        help="events kept for agents that reconnect (default: %(default)s)",
    )  # fmt: skip
    limits.add_argument("--log-bytes", type=_size, default=_LIMITS.log_bytes, metavar="SIZE", help="and their size")
    limits.add_argument("--log-age", type=_seconds, metavar="TIME", help="and how old they may be (default: any age)")


def settings_of(args: argparse.Namespace, port: int, bounds: Bounds, limits: dict[str, Any]) -> Settings:
    """Return the settings of a hub that listens on this port."""
    small = args.journal == "json" and not args.memory
    chosen = {
        "keys": min(args.max_keys, _JSON_LIMITS.keys) if small else args.max_keys,
        "bytes": args.max_bytes,
        "quotas": dict(args.quota),
        "default_ttls": dict(args.default_ttl),
        "history": args.history,
        "log_events": min(args.log_events, _JSON_LIMITS.log_events) if small else args.log_events,
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
        accept_older=args.accept_older,
        idle=args.idle,
        limits=Limits(**{**chosen, **limits}),
        bounds=bounds,
    )


def data_directory(port: int) -> Path:
    """Return the default data directory of the hub on this port (XDG base directories)."""
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / "waggle" / str(port)


def _port(text: str) -> int:
    return _whole(text, 0, 65_535, "a port: 1 to 65535, or 0 for any free one")


def _count(text: str) -> int:
    return _whole(text, 0, _MAX_INTEGER, "a whole number, 0 or more")


def _positive(text: str) -> int:
    return _whole(text, 1, _MAX_INTEGER, "a whole number, 1 or more")


def _whole(text: str, least: int, most: int, wanted: str) -> int:
    if not (text.isdecimal() and text.isascii()) or not least <= int(text) <= most:
        raise argparse.ArgumentTypeError(f"{text!r} is not {wanted}")
    return int(text)


def _size(text: str) -> int:
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([kmg]?)i?b?", text.lower())
    if match is None or not float(match[1]):
        raise argparse.ArgumentTypeError(f"{text!r} is not a size: 512m, 2g")
    return int(float(match[1]) * _SIZE_UNITS[match[2]])


def _seconds(text: str) -> float:
    try:
        seconds = parse_duration(text.lower())
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if not seconds:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time above 0")
    return seconds


def _quota(text: str) -> tuple[str, Quota]:
    ns, _, rest = text.rpartition("=")
    keys, _, size = rest.partition(",")
    if not ns or not (keys or size) or (keys and not keys.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} is not a quota: drafts=1000, drafts=1000,10m or drafts=,10m")
    return ns, Quota(keys=int(keys) if keys else None, bytes=_size(size) if size else None)


def _ttl(text: str) -> tuple[str, float]:
    ns, _, ttl = text.rpartition("=")
    return ns or EVERY, _seconds(ttl)

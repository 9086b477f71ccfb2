"""`python -m waggle_hub`, which `waggle serve` runs: start one hub, print its address, and stop on a signal."""

from __future__ import annotations

import argparse
import asyncio
import errno
import gc
import os
import socket
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from .app import Hub, build
from .cli_options import parser, settings_of
from .edge.origin_check import is_loopback
from .edge.server.uvicorn_server import make_server
from .journal.clean_marker import CleanMarker
from .journal.data_directory import DataDirectory
from .journal.interface import StoreError
from .journal.witness import Witness
from .journal.writer import Writer
from .loading_bar import Loading
from .settings import Bounds, Settings

_BOUNDS = Bounds()


def main(argv: Sequence[str] | None = None, bounds: Bounds = _BOUNDS, **limits: Any) -> int:
    """Run a hub until a signal stops it. Return 0 after an orderly stop, 2 if it could not start.

    `bounds` and `limits` are for tests: no option sets them.
    """
    args = parser().parse_args(argv)
    if not is_loopback(args.host) and not args.insecure:
        print(
            f"waggle: refusing to listen on {args.host}: there are no tokens yet, so everyone who reaches this "
            "machine could read and write everything.\nListen on 127.0.0.1, or say --insecure if the network is yours.",
            file=sys.stderr,
        )
        return 2
    try:
        import uvloop
    except ImportError:
        run = asyncio.run
    else:
        run = uvloop.run
    return run(_serve(args, bounds, limits))


async def _serve(args: argparse.Namespace, bounds: Bounds, limits: dict[str, Any]) -> int:
    try:
        listener = _listen(args.host, args.port)
    except OSError as error:
        taken = "Is a hub running there already? " if error.errno == errno.EADDRINUSE else ""
        remedy = "another address with --host" if isinstance(error, socket.gaierror) else "another port with --port"
        print(
            f"waggle: cannot listen on {args.host}:{args.port}: {error.strerror or error}.\n{taken}Choose {remedy}.",
            file=sys.stderr,
        )
        return 2
    with ExitStack() as held:
        held.callback(listener.close)
        settings = settings_of(args, listener.getsockname()[1], bounds, limits)
        try:
            hub = _open(settings, held)
            await hub.start()
        except (StoreError, OSError) as error:
            print(f"waggle: {error}", file=sys.stderr)
            return 2
        server = make_server(hub.app, settings, hub.drain, hub.occupied)
        _say_where(settings, hub.engine.machine.state.epoch)
        await server.serve(sockets=[listener])
    return 0


def _open(settings: Settings, held: ExitStack) -> Hub:
    """Return a hub with the state in its data directory, which stays locked until `held` is closed."""
    if settings.data is None:
        return build(settings)
    directory = held.enter_context(DataDirectory(settings.data, settings.address))
    store = directory.store(settings.journal)
    held.callback(store.close)
    witness = Witness(settings.data)
    gc.disable()  # it would go through a million new entries, none of them garbage
    with Loading(settings.data) as loading:
        stored = witness.load(store, loading, accept_older=settings.accept_older)
    gc.enable()
    marker = CleanMarker(settings.data)
    if stored is not None:
        stored.clean = marker.stood
    call = asyncio.get_running_loop().call_soon_threadsafe
    return build(
        settings,
        lambda listener: Writer(store, settings.durability, listener, call, marker, witness),
        stored,
        copy=lambda: directory.backup(store, settings.backups),
    )


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(2048)  # before the address is printed: a program that reads it may connect at once
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener


_MODES = {
    "memory": "memory: nothing survives a stop",
    "relaxed": "relaxed: the last 50 ms before a crash may be lost",
    "full": "full: what was answered is on disk",
}


def _say_where(settings: Settings, epoch: str) -> None:
    mode = "memory" if settings.data is None else settings.durability
    lines = [
        f"Waggle hub at {settings.address}",
        f"  dashboard  {settings.address}/",
        f"  agents     WAGGLE_URL={settings.address}",
        f"  mode       {_MODES[mode]} (epoch {epoch})",
    ]
    if settings.data is not None:
        lines.append(f"  data       {settings.data}")
    if settings.insecure and not is_loopback(settings.host):
        lines.append("  WARNING    open to the network, without tokens")
    try:
        print("\n".join(lines), flush=True)
    except BrokenPipeError:
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
        )  # no program reads the output: the hub runs all the same


if __name__ == "__main__":
    sys.exit(main())

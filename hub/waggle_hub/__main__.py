"""`python -m waggle_hub`: what `waggle serve` runs. Starts one hub, says where it is, and stops on a signal."""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import sys

from .app import build
from .edge.guard import is_loopback
from .edge.server import make_server
from .settings import Settings


def main(argv: list[str] | None = None) -> int:
    """Run a hub until it is told to stop; 0 after an orderly stop, 2 if it could not start."""
    args = _parser().parse_args(argv)
    if not is_loopback(args.host) and not args.insecure:
        print(
            f"waggle: refusing to listen on {args.host}: nobody is asked for a token yet, so everyone who reaches this "
            "machine could read and write everything.\nListen on 127.0.0.1, or say --insecure if the network is yours.",
            file=sys.stderr,
        )
        return 2
    settings = Settings(
        host=args.host,
        port=args.port,
        insecure=args.insecure,
        allowed_hosts=tuple(args.allow_host),
        allowed_origins=tuple(args.allow_origin),
    )
    try:
        import uvloop
    except ImportError:
        run = asyncio.run
    else:
        run = uvloop.run
    return run(_serve(settings))


async def _serve(settings: Settings) -> int:
    hub = build(settings)
    server = make_server(hub.app, settings, hub.drain)
    try:
        listener = _listen(settings.host, settings.port)
    except OSError as error:
        print(
            f"waggle: cannot listen on {settings.host}:{settings.port}: {error.strerror or error}.\n"
            "Is a hub running there already? Choose another port with --port.",
            file=sys.stderr,
        )
        return 2
    _say_where(settings, listener, hub.engine.machine.state.epoch)
    await server.serve(sockets=[listener])
    return 0


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(2048)  # whoever reads the address may connect at once
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener


def _say_where(settings: Settings, listener: socket.socket, epoch: str) -> None:
    port = listener.getsockname()[1]
    name = f"[{settings.host}]" if ":" in settings.host else settings.host
    address = f"http://{name}:{port}"
    lines = [
        f"Waggle hub at {address}",
        f"  dashboard  {address}/",
        f"  agents     WAGGLE_URL={address}",
        f"  mode       memory: nothing survives a stop (epoch {epoch})",
    ]
    if settings.insecure and not is_loopback(settings.host):
        lines.append("  WARNING    open to the network, and nobody is asked for a token")
    try:
        print("\n".join(lines), flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nobody reads it: the hub runs all the same


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="waggle serve", description="Start a hub.")
    parser.add_argument("--host", default=Settings().host, help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=Settings().port, help="default: %(default)s; 0 for any free one")
    parser.add_argument("--memory", action="store_true", help="keep nothing on disk (the only mode so far)")
    parser.add_argument("--insecure", action="store_true", help="listen beyond loopback although no token is asked for")
    parser.add_argument("--allow-host", action="append", default=[], metavar="NAME", help="a name of this machine")
    parser.add_argument("--allow-origin", action="append", default=[], metavar="ORIGIN", help="a page that may connect")
    return parser


if __name__ == "__main__":
    sys.exit(main())

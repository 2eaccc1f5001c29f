"""The command ``posgrad-edu site``: the course's web pages for a room, from this computer.

    posgrad-edu site                          # to this computer only: http://localhost:8000/
    posgrad-edu site --host 0.0.0.0           # to all in the same network; prints the address as a QR code, too
    posgrad-edu site FOLDER --port 8080

``make site`` builds the pages, into build/site. Ctrl-C ends the command.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import io
import ipaddress
import os
import socket
import sys
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Annotated, Any

import typer

from posgrad_edu.cli.errors import one_line_errors

BUILT = Path("build", "site")
# Said here, for what the system's own list says differs: a browser runs a module only under its own type.
TYPES = {
    ".bin": "application/octet-stream",
    ".css": "text/css",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript",
    ".json": "application/json",
    ".mjs": "text/javascript",
    ".onnx": "application/octet-stream",
    ".svg": "image/svg+xml",
    ".wasm": "application/wasm",
    ".woff2": "font/woff2",
}


def site(
    folder: Annotated[
        Path | None, typer.Argument(help="The built pages; build/site of the course if left out.")
    ] = None,
    host: Annotated[str, typer.Option(help="0.0.0.0 shows the pages to all in the same network.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any that is free.")] = 8000,
) -> None:
    """Show the course's web pages to this computer, or to a room. Ctrl-C ends it."""
    with one_line_errors():
        server = open_server(built_site(folder), host, port)
    with contextlib.suppress(KeyboardInterrupt), server:
        address = shown_address(host, server.server_address[1])
        typer.echo(address)
        if is_loopback(host):  # which a phone can't reach
            typer.echo("Only this computer sees it. To all in the same network: --host 0.0.0.0")
        else:
            typer.echo(qr_code(address, coloured=sys.stdout.isatty()))
        typer.echo("Ctrl-C ends it.")
        server.serve_forever()


def built_site(folder: Path | None) -> Path:
    """Return the folder of the built pages.

    Raises ``FileNotFoundError`` where there are none, and says how to build them.
    """
    here = Path.cwd()
    course = [f / BUILT for f in (here, *here.parents, Path(__file__).resolve().parents[2])]
    for place in [folder] if folder else course:
        if (place / "index.html").is_file():
            return place
    where = f"in '{folder}'" if folder else "here"
    raise FileNotFoundError(f"There are no built pages {where}. In the course's folder: make site. Then try again.")


def open_server(folder: Path, host: str, port: int) -> ThreadingHTTPServer:
    """Return a server for a folder; ``OSError`` for a port that is taken, or an address that isn't this computer's."""
    handler = functools.partial(Pages, directory=str(folder))
    try:
        return Server((host, port), handler)
    except socket.gaierror as error:
        raise OSError(f"'{host}' is no address of this computer. Leave --host out, or say --host 0.0.0.0.") from error
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise OSError(f"Port {port} is taken by another program. Say another one: --port {port + 1}.") from error
        if error.errno == errno.EADDRNOTAVAIL:
            raise OSError(
                f"'{host}' is no address of this computer. Leave --host out, or say --host 0.0.0.0."
            ) from error
        if error.errno == errno.EACCES:
            raise OSError(f"Port {port} is kept for the system. Say one from 1024 on: --port 8000.") from error
        raise


class Server(ThreadingHTTPServer):
    """A server that never shares its port with another program, and ends without waiting for readers."""

    daemon_threads = True
    allow_reuse_address = os.name == "posix"  # a port is free again at once; on Windows it would take another program's

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing when a reader goes away in the middle of a page."""


class Pages(SimpleHTTPRequestHandler):
    """Files of a folder, under their right types; no list of a folder without a page, and no line for each file."""

    protocol_version = "HTTP/1.1"  # one connection for many files
    timeout = 30  # seconds that a silent one stays open
    extensions_map = SimpleHTTPRequestHandler.extensions_map | TYPES

    def list_directory(self, path: Any) -> None:
        """Refuse: only pages are shown."""
        self.send_error(404, "There is no such page")

    def log_message(self, format: str, *args: Any) -> None:
        """Stay quiet."""


def is_loopback(host: str) -> bool:
    """Tell whether an address is seen by this computer alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def shown_address(host: str, port: int) -> str:
    """Return the address that readers type: this computer's in the network where all may come."""
    if is_loopback(host):
        host = "localhost"
    elif host in ("0.0.0.0", ""):
        host = address_in_network()
    return f"http://{host}:{port}/"


def address_in_network() -> str:
    """Return this computer's address in its network, or its name where it is in none. Nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("10.255.255.255", 1))  # only asks which way a packet would take
            return str(probe.getsockname()[0])
        except OSError:
            return socket.gethostname()


def qr_code(text: str, coloured: bool) -> str:
    """Return a text as a QR code for a terminal. coloured: black on white, whatever the terminal's own colours are."""
    import segno

    out = io.StringIO()
    segno.make(text, micro=False).terminal(out, compact=True)
    lines = out.getvalue().splitlines()
    return "\n".join(f"\033[97;40m{line}\033[0m" for line in lines) if coloured else "\n".join(lines)

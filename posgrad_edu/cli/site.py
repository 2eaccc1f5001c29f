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
import socketserver
import sys
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Annotated, Any

import typer

from posgrad_edu.cli.errors import one_line_errors

BUILT = Path("build", "site")
MARKER = ".posgrad-edu-site"  # docs/site/make_site.py leaves it beside the pages
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
        pages = built_site(folder)
        server = open_server(pages, host, port)
    with contextlib.suppress(KeyboardInterrupt), server:
        typer.echo(welcome(host, server.server_address[1], coloured=sys.stdout.isatty()))
        typer.echo(f"The pages: {pages}\nCtrl-C ends it.")
        server.serve_forever()


def built_site(folder: Path | None) -> Path:
    """Return the folder of the built pages: the one that is named, or this course's.

    Raises ``FileNotFoundError`` where there are none, and says how to build them.
    """
    here = Path.cwd()
    courses = (here, *here.parents, Path(__file__).resolve().parents[2])
    for place in [folder] if folder else [c / BUILT for c in courses if is_ours(c)]:
        if (place / "index.html").is_file():
            return place
    where = f"in '{folder}'" if folder else "here"
    raise FileNotFoundError(f"There are no built pages {where}. In the course's folder: make site. Then try again.")


def is_ours(course: Path) -> bool:
    """Tell whether a folder's build/site belongs to this course: other projects have folders of that name."""
    return (course / BUILT / MARKER).is_file() or (course / "notebooks" / "00_start_here.ipynb").is_file()


def open_server(folder: Path, host: str, port: int) -> ThreadingHTTPServer:
    """Return a server for a folder; ``OSError`` for a port that is taken, or an address that isn't this computer's."""
    handler = functools.partial(Pages, directory=str(folder))
    try:
        return Server((host, port), handler)
    except socket.gaierror as error:
        raise OSError(f"'{host}' is no address of this computer. Leave --host out, or say --host 0.0.0.0.") from error
    except OSError as error:
        another = (
            f"Say another one: --port {8000 if port == 8080 else 8080}, or --port 0, which takes any that is free."
        )
        if error.errno == errno.EADDRINUSE:
            raise OSError(f"Port {port} is taken by another program. {another}") from error
        if error.errno == errno.EADDRNOTAVAIL:
            raise OSError(
                f"'{host}' is no address of this computer. Leave --host out, or say --host 0.0.0.0."
            ) from error
        if error.errno == errno.EACCES and port < 1024:
            raise OSError(f"Port {port} is kept for the system. Say one from 1024 on: --port 8000.") from error
        if error.errno == errno.EACCES:  # Windows says so of ports that it keeps for itself, and of some that are taken
            raise OSError(f"Port {port} is taken or reserved. {another}") from error
        raise


class Server(ThreadingHTTPServer):
    """A server that never shares its port with another program, and ends without waiting for readers."""

    daemon_threads = True
    allow_reuse_address = os.name == "posix"  # a port is free again at once; on Windows it would take another program's
    request_queue_size = 256  # for a room that scans the code at one moment; the usual is 5

    def server_bind(self) -> None:
        """Take the address. ``HTTPServer`` would also ask for its name, which takes long without a name server."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

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


def welcome(host: str, port: int, coloured: bool) -> str:
    """Return what the command says at first: where the pages are, and as a QR code where that is one address."""
    if is_loopback(host):  # which a phone can't reach
        return f"http://localhost:{port}/\nOnly this computer sees it. To all in the same network: --host 0.0.0.0"
    hosts = addresses_in_network() if host in ("0.0.0.0", "") else [host]
    found = [f"http://{each}:{port}/" for each in hosts]
    if not found:
        return (
            f"http://localhost:{port}/\nThis computer's address in a network isn't known. Say it: --host YOUR.ADDRESS"
        )
    if len(found) > 1:
        return "\n".join([*found, f"One of these. For its QR code say which: --host {hosts[0]}"])
    return f"{found[0]}\n{qr_code(found[0], coloured)}"


def addresses_in_network() -> list[str]:
    """Return the addresses at which others may find this computer, the likeliest alone if there is one.

    Nothing is sent. Without a way to the internet, as on a hotspot of one's own, they are all those of its networks.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 1))  # nobody's, by RFC 5737: only asks which way a packet would take
            return [str(probe.getsockname()[0])]
        except OSError:
            return own_addresses()


def own_addresses() -> list[str]:
    """Return the IPv4 addresses of this computer's networks that are up, without the loopback; self-given ones last."""
    import psutil

    up = {name for name, state in psutil.net_if_stats().items() if state.isup}
    listed = [each for name, addresses in psutil.net_if_addrs().items() if name in up for each in addresses]
    found = [ipaddress.IPv4Address(each.address) for each in listed if each.family == socket.AF_INET]
    return [str(a) for a in sorted(found, key=lambda a: a.is_link_local) if not a.is_loopback]


def qr_code(text: str, coloured: bool) -> str:
    """Return a text as a QR code for a terminal. coloured: black on white, whatever the terminal's own colours are."""
    import segno

    out = io.StringIO()
    segno.make(text, micro=False).terminal(out, compact=True)
    lines = out.getvalue().splitlines()
    return "\n".join(f"\033[97;40m{line}\033[0m" for line in lines) if coloured else "\n".join(lines)

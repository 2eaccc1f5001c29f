"""``posgrad-edu site``: which folder it shows, to whom, under which types, and how it begins and ends."""

from __future__ import annotations

import errno
import http.client
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from posgrad_edu.cli import site
from posgrad_edu.cli.app import app


@pytest.fixture
def pages(tmp_path: Path) -> Path:
    """A built site: a page, and files of the kinds that the browser lab has."""
    (tmp_path / "lab").mkdir()
    for name in ("index.html", "lab/ort.wasm", "lab/ort.mjs", "lab/gradcam.onnx", "lab/weights.bin", "lab/style.css"):
        (tmp_path / name).write_bytes(b"here")
    return tmp_path


@pytest.fixture
def server(pages: Path) -> Iterator[http.client.HTTPConnection]:
    """A connection to a server of these pages."""
    with site.open_server(pages, "127.0.0.1", 0) as opened:
        thread = threading.Thread(target=opened.serve_forever)
        thread.start()
        connection = http.client.HTTPConnection("127.0.0.1", opened.server_address[1], timeout=10)
        yield connection
        connection.close()
        opened.shutdown()
        thread.join()


def refused(*arguments: object) -> str:
    """Run the command, which has to fail with one line; return it."""
    result = CliRunner().invoke(app, ["site", *map(str, arguments)])
    assert result.exit_code == 2, result.output
    assert result.stderr.count("\n") == 1
    return result.stderr


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/lab/ort.wasm", "application/wasm"),
        ("/lab/ort.mjs", "text/javascript"),
        ("/lab/gradcam.onnx", "application/octet-stream"),
        ("/lab/weights.bin", "application/octet-stream"),
        ("/lab/style.css", "text/css"),
    ],
)
def test_each_file_has_its_type(path: str, kind: str, server: http.client.HTTPConnection) -> None:
    server.request("GET", path)
    answer = server.getresponse()
    assert (answer.status, answer.getheader("Content-Type"), answer.read()) == (200, kind, b"here")


@pytest.mark.parametrize("path", ["/lab/", "/nothing.html", "/../conftest.py", "/%2e%2e/conftest.py"])
def test_only_pages_are_shown(path: str, server: http.client.HTTPConnection, pages: Path) -> None:
    (pages.parent / "conftest.py").write_text("secret")
    server.request("GET", path)
    answer = server.getresponse()
    assert answer.status == 404
    assert b"secret" not in answer.read()


def test_without_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "make site" in refused(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(site, "__file__", str(tmp_path / "posgrad_edu" / "cli" / "site.py"))
    assert "make site" in refused()


@pytest.mark.parametrize("sign", ["notebooks/00_start_here.ipynb", f"build/site/{site.MARKER}"])
def test_it_finds_the_course_from_a_folder_in_it(sign: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And shows no other project's build/site, which lies in a folder on the way up."""
    course = tmp_path / "course"
    for folder in (course / "notebooks", course / "build" / "site", course / "mine" / "build" / "site"):
        folder.mkdir(parents=True)
        (folder / "index.html").touch()
    monkeypatch.chdir(course / "mine")
    monkeypatch.setattr(site, "__file__", str(tmp_path / "posgrad_edu" / "cli" / "site.py"))
    assert "make site" in refused()
    (course / sign).touch()
    assert site.built_site(None) == course / "build" / "site"


def test_the_sites_maker_leaves_the_mark_that_is_looked_for() -> None:
    script = (Path(__file__).parents[2] / "docs" / "site" / "make_site.py").read_text(encoding="utf-8")
    assert f'MARKER = "{site.MARKER}"' in script


def test_a_port_that_is_taken(pages: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert f"Port {port} is taken by another program. Say another one: --port" in refused(pages, "--port", port)


@pytest.mark.parametrize("host", ["203.0.113.7", "no such host"])
def test_an_address_of_another_computer(host: str, pages: Path) -> None:
    assert "is no address of this computer" in refused(pages, "--host", host, "--port", 0)


@pytest.mark.parametrize(
    ("port", "says"),
    [
        (80, "Port 80 is kept for the system. Say one from 1024 on: --port 8000."),
        (8000, "Port 8000 is taken or reserved. Say another one: --port 8080, or --port 0"),
        (8080, "Port 8080 is taken or reserved. Say another one: --port 8000, or --port 0"),
    ],
)
def test_a_port_that_the_system_keeps(port: int, says: str, pages: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: object) -> None:
        raise PermissionError(errno.EACCES, "no")

    monkeypatch.setattr(site.Server, "server_bind", refuse)
    assert says in refused(pages, "--port", port)


def test_it_asks_no_name_server_and_lets_a_room_in(pages: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getfqdn", lambda *_: pytest.fail("it asks for a name"))
    queues: list[int] = []
    monkeypatch.setattr(socket.socket, "listen", lambda self, queue: queues.append(queue))
    site.open_server(pages, "127.0.0.1", 0).server_close()
    assert queues == [256]


def test_the_room_is_told_this_computers_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site, "addresses_in_network", lambda: ["192.168.1.20"])
    for host, address in {"0.0.0.0": "http://192.168.1.20:8000/", "192.168.1.9": "http://192.168.1.9:8000/"}.items():
        assert site.welcome(host, 8000, coloured=False) == f"{address}\n{site.qr_code(address, coloured=False)}"
    alone = site.welcome("127.0.0.1", 8000, coloured=False)
    assert alone.startswith("http://localhost:8000/\nOnly this computer sees it.")


def on_a_hotspot(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Leave this computer without a way to the internet, with these addresses beside the loopback's."""

    def refuse(self: object, address: object) -> None:
        raise OSError(errno.ENETUNREACH, "Network is unreachable")

    listed = {f"net{n}": [SimpleNamespace(family=socket.AF_INET, address=a)] for n, a in enumerate(addresses)}
    listed["net0"].append(SimpleNamespace(family=socket.AF_INET6, address="fe80::1%net0"))
    listed |= {
        name: [SimpleNamespace(family=socket.AF_INET, address=a)]
        for name, a in (("lo", "127.0.0.1"), ("down", "10.0.0.1"))
    }
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr("psutil.net_if_addrs", lambda: listed)
    monkeypatch.setattr("psutil.net_if_stats", lambda: {n: SimpleNamespace(isup=n != "down") for n in listed})


def test_on_a_hotspot(monkeypatch: pytest.MonkeyPatch) -> None:
    on_a_hotspot(monkeypatch, "10.42.0.1")
    address = "http://10.42.0.1:8000/"
    assert site.welcome("0.0.0.0", 8000, coloured=False) == f"{address}\n{site.qr_code(address, coloured=False)}"


def test_of_several_networks_it_says_all_and_guesses_none(monkeypatch: pytest.MonkeyPatch) -> None:
    on_a_hotspot(monkeypatch, "169.254.3.4", "10.42.0.1")
    assert site.welcome("0.0.0.0", 8000, coloured=False).splitlines() == [
        "http://10.42.0.1:8000/",
        "http://169.254.3.4:8000/",
        "One of these. For its QR code say which: --host 10.42.0.1",
    ]


def test_without_any_network_there_is_no_code(monkeypatch: pytest.MonkeyPatch) -> None:
    on_a_hotspot(monkeypatch, "127.0.1.1")
    said = site.welcome("0.0.0.0", 8000, coloured=False)
    assert said.endswith("--host YOUR.ADDRESS")
    assert not set(said) & set("█▀▄")


def test_the_qr_code_says_the_address() -> None:
    """Its modules, read back from the half blocks, are those that segno draws for this text."""
    import segno

    text = "http://192.168.1.20:8000/"
    lines = site.qr_code(text, coloured=False).splitlines()
    light = {"█": (1, 1), "▀": (1, 0), "▄": (0, 1), " ": (0, 0)}
    rows = [[light[sign][half] for sign in line] for line in lines for half in (0, 1)]
    wanted = [[1 - module for module in row] for row in segno.make(text, micro=False).matrix_iter(border=4)]
    assert rows[: len(wanted)] == wanted
    assert all(line.startswith("\033[97;40m") for line in site.qr_code(text, coloured=True).splitlines())


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one process")
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_ctrl_c_ends_it_quietly(host: str, pages: Path) -> None:
    code = "from posgrad_edu.cli.app import app; app()"
    command = [sys.executable, "-c", code, "site", str(pages), "--host", host, "--port", "0"]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        # Where the tests run in the background of a shell, Ctrl-C is ignored, and so it would be in their processes.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        assert process.stdout is not None
        shown = "".join(iter(process.stdout.readline, "Ctrl-C ends it.\n"))
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert (process.returncode, errors) == (0, "")
    assert shown.startswith("http://")
    assert f"The pages: {pages}\n" in shown
    assert ("█" in shown) == (host == "0.0.0.0")

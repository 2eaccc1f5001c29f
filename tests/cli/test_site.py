"""``posgrad-edu site``: which folder it shows, to whom, under which types, and how it begins and ends."""

from __future__ import annotations

import http.client
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

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


def test_it_finds_the_course_from_a_folder_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built = tmp_path / "build" / "site"
    (tmp_path / "notebooks").mkdir()
    built.mkdir(parents=True)
    (built / "index.html").touch()
    monkeypatch.chdir(tmp_path / "notebooks")
    assert site.built_site(None) == built


def test_a_port_that_is_taken(pages: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert f"Port {port} is taken by another program. Say another one: --port" in refused(pages, "--port", port)


@pytest.mark.parametrize("host", ["203.0.113.7", "no such host"])
def test_an_address_of_another_computer(host: str, pages: Path) -> None:
    assert "is no address of this computer" in refused(pages, "--host", host, "--port", 0)


def test_the_room_is_told_this_computers_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site, "address_in_network", lambda: "192.168.1.20")
    assert site.shown_address("127.0.0.1", 8000) == "http://localhost:8000/"
    assert site.shown_address("0.0.0.0", 8000) == "http://192.168.1.20:8000/"
    assert site.shown_address("192.168.1.9", 80) == "http://192.168.1.9:80/"


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
    assert ("█" in shown) == (host == "0.0.0.0")

"""Properties of the download script: by https alone, limited in time and size, and whole or not at all."""

from __future__ import annotations

import hashlib
import http.server
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT
from https_server import Answer, certificate, https_server, send

SCRIPT = ROOT / "LMIDiffusion" / "LMIDiffusionSlicer" / "Worker" / "DownloadFile.py"
CONTENT = bytes(range(256)) * 5000
CHECKSUM = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def goal(tmp_path: Path) -> Path:
    """Return the path of the download, in a folder of its own."""
    (tmp_path / "models").mkdir()
    return tmp_path / "models" / "new.safetensors"


def _start(address: str, goal: Path, *, limits: str = "", checksum: str = CHECKSUM) -> subprocess.Popen[str]:
    code = f"import sys; sys.path.insert(0, {str(SCRIPT.parent)!r}); import DownloadFile as d; {limits}\n"
    code += f"d.main({address!r}, {checksum!r}, d.Path({str(goal)!r}), d.Path({str(goal.with_name('.partial'))!r}))"
    environment = {**os.environ, "SSL_CERT_FILE": str(certificate(goal.parents[1])), "no_proxy": "127.0.0.1"}
    return subprocess.Popen(
        [sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def _reason(address: str, goal: Path, **changes: str) -> str:
    """Download in vain: the last line, after nothing was left behind."""
    process = _start(address, goal, **changes)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert list(goal.parent.iterdir()) == []
    assert "Traceback" not in errors
    return errors.strip().splitlines()[-1]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[object]:
    """Starts a server for one test."""
    running = []

    def start(answer: Answer) -> str:
        server = https_server(answer, tmp_path)
        running.append(server)
        return server.__enter__()

    yield start
    for each in running:
        each.__exit__(None, None, None)


def test_a_file_comes_whole_by_https(goal: Path, serve: object) -> None:
    address = serve(lambda handler: send(handler, CONTENT))  # type: ignore[operator]
    output, errors = (process := _start(f"{address}/new.safetensors", goal)).communicate(timeout=60)
    assert process.returncode == 0, errors
    assert goal.read_bytes() == CONTENT and len(list(goal.parent.iterdir())) == 1
    assert output.splitlines()[-1] == "100 %"


@pytest.mark.parametrize("scheme", ["http://127.0.0.1:1", "ftp://127.0.0.1", "file://", "data:text/plain,"])
def test_no_other_scheme_is_read(scheme: str, goal: Path) -> None:
    assert "https is needed" in _reason(f"{scheme}/etc/hostname", goal)


@pytest.mark.parametrize("goal_of_redirect", ["http://127.0.0.1:1/x", "file:///etc/hostname", "ftp://127.0.0.1/x"])
def test_no_redirect_leads_away_from_https(goal_of_redirect: str, goal: Path, serve: object) -> None:
    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(302)
        handler.send_header("Location", goal_of_redirect)
        handler.end_headers()

    reason = _reason(serve(answer), goal)  # type: ignore[operator]
    assert "https is needed" in reason or "is not allowed" in reason  # Python's own words about files


def test_a_server_that_nobody_vouches_for_is_refused(goal: Path, serve: object, tmp_path: Path) -> None:
    address = serve(lambda handler: send(handler, CONTENT))  # type: ignore[operator]
    limits = "import os; os.environ['SSL_CERT_FILE'] = '/nowhere'"
    assert "CERTIFICATE_VERIFY_FAILED" in _reason(address, goal, limits=limits)


def test_a_silent_server_is_given_up(goal: Path, serve: object) -> None:
    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        send(handler, CONTENT[:1000], length=len(CONTENT))
        handler.wfile.flush()
        time.sleep(20)

    start = time.monotonic()
    assert "timed out" in _reason(serve(answer), goal, limits="d._SECONDS = .5")  # type: ignore[operator]
    assert time.monotonic() - start < 15


@pytest.mark.parametrize("is_told", [True, False])
def test_a_file_beyond_the_limit_is_given_up(is_told: bool, goal: Path, serve: object) -> None:
    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        if is_told:
            send(handler, CONTENT)
        else:
            handler.send_response(200)
            handler.end_headers()
            handler.wfile.write(CONTENT)

    assert "larger than" in _reason(serve(answer), goal, limits="d._MOST = 1000")  # type: ignore[operator]


@pytest.mark.parametrize("status", [404, 500])
def test_a_servers_refusal_is_told(status: int, goal: Path, serve: object) -> None:
    assert str(status) in _reason(serve(lambda handler: handler.send_error(status)), goal)  # type: ignore[operator]


def test_a_file_cut_on_its_way_is_refused(goal: Path, serve: object) -> None:
    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        send(handler, CONTENT[:1000], length=len(CONTENT))

    assert "checksum" in _reason(serve(answer), goal)  # type: ignore[operator]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM")
def test_a_download_that_is_ended_leaves_nothing(goal: Path, serve: object) -> None:
    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        send(handler, CONTENT[:-1], length=len(CONTENT))
        handler.wfile.flush()
        time.sleep(20)

    process = _start(serve(answer), goal)  # type: ignore[operator]
    deadline = time.monotonic() + 30
    while not list(goal.parent.glob(".partial")) and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 1 and list(goal.parent.iterdir()) == []

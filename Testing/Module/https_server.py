"""A server for https on this computer, whose certificate no other computer trusts."""

from __future__ import annotations

import http.server
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_CERTIFICATE = """-----BEGIN CERTIFICATE-----
MIIBZzCCAQ2gAwIBAgIBATAKBggqhkjOPQQDAjAUMRIwEAYDVQQDDAlsb2NhbGhv
c3QwIBcNMjAwMTAxMDAwMDAwWhgPMjEyMDAxMDEwMDAwMDBaMBQxEjAQBgNVBAMM
CWxvY2FsaG9zdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABP4C/ri7NUs3uxGV
Cb1tSph/qokMiRYWuz8xjTvLaGOgkjp9mRUbwOY+o6MFta30I/V+qfDg6A/tViJ9
oFRpNb6jTjBMMBoGA1UdEQQTMBGCCWxvY2FsaG9zdIcEfwAAATAPBgNVHRMBAf8E
BTADAQH/MB0GA1UdDgQWBBQwFo62dEYv3Jm8q3CW8PHH4O58FjAKBggqhkjOPQQD
AgNIADBFAiAWzziZ9F1lKz8Rmtdj+fKSZOMXSJ7+eM+QIL8K5L2w6gIhAIRJlkQA
JqR5Q5Dd0lte/RbwIUXcsF2Xyd/QPpyEb4Xt
-----END CERTIFICATE-----
"""
_KEY = """-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgGkZkFTn0IaxdVlYF
Bwx1o9ZZhDpgJnjBH4lUf0H/p8qhRANCAAT+Av64uzVLN7sRlQm9bUqYf6qJDIkW
Frs/MY07y2hjoJI6fZkVG8DmPqOjBbWt9CP1fqnw4OgP7VYifaBUaTW+
-----END PRIVATE KEY-----
"""

Answer = Callable[[http.server.BaseHTTPRequestHandler], None]


@contextmanager
def https_server(answer: Answer, folder: Path) -> Iterator[str]:
    """Answer requests; gives the address. Children trust it that have `certificate(folder)` as SSL_CERT_FILE."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        def log_message(self, *_arguments: object) -> None:
            pass

    key = folder / "key.pem"
    key.write_text(_KEY)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate(folder), key)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.daemon_threads = True
    server.handle_error = lambda *_arguments: None  # type: ignore[method-assign]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"https://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def certificate(folder: Path) -> Path:
    """The server's certificate, as a file."""
    path = folder / "certificate.pem"
    path.write_text(_CERTIFICATE)
    return path


def send(handler: http.server.BaseHTTPRequestHandler, content: bytes, *, length: int | None = None) -> None:
    """Answer with some content, which may claim another length."""
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(content) if length is None else length))
    handler.end_headers()
    handler.wfile.write(content)

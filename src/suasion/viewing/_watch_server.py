"""Serves the live page to this machine's own browsers, and nothing else to anybody.

Bound to 127.0.0.1. There are two addresses, `/` and `/data.json`, no files, no writing. A request must name this
server as its host, so that no name of another that resolves to 127.0.0.1 reads it (DNS rebinding); a browser that says
that the request comes from another site is refused as well. Requests are short, carry no body, and are answered one to
a connection.
"""

import contextlib
import json
import os
import re
import socket
import socketserver
import threading
from http import HTTPStatus
from http.client import LineTooLong
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from suasion.viewing._report_runs import Society
from suasion.viewing._watch import Seen, Watched

HOST = "127.0.0.1"
LONGEST_REQUEST = 16 * 1024  # bytes, all of it
_MOST_CONNECTIONS = 16  # at once
_PATIENCE = 5.0  # seconds for a byte
_DATA = re.compile(r"/data\.json(?:\?seen=([0-9]{1,10}))?")
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "frame-ancestors 'none'",  # the page's own policy stands in the page
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class WatchServer:
    """The live page of runs, see `docs/report.md`. Use it in a `with`, or `close` it.

    Attributes:
        url: where the page is.
    """

    def __init__(self, path: str | Path, *, port: int = 0, society: Society | None = None) -> None:
        """Open the port; nothing is answered before `serve`.

        Args:
            path: a run, or a folder of runs; need not be there yet.
            port: 1 to 65535, or 0 for any that is free.
            society: see `write_report`.

        Raises:
            ValueError: a port out of range, or a path that is a file.
            OSError: the port is taken.
        """
        if not 0 <= port <= 65535:
            raise ValueError(f"port is {port}; must be 1 to 65535, or 0 for any that is free")
        if Path(path).exists() and not Path(path).is_dir():
            raise ValueError(f"{path}: a file; name the folder of a run, or of runs")
        try:
            self._server = _Server((HOST, port), _Handler)
        except OSError as error:
            raise OSError(
                f"port {port} of {HOST}: {error.strerror or error}; --port 0 takes any that is free"
            ) from error
        self._server.watched = Watched(path, society)
        self.url = f"http://{HOST}:{self._server.server_port}/"

    def serve(self) -> None:
        """Answer until `stop` is called from another thread, or Ctrl-C."""
        self._server.serve_forever(poll_interval=0.2)

    def stop(self) -> None:
        """Have `serve` return."""
        self._server.shutdown()

    def close(self) -> None:
        """Give the port back."""
        self._server.server_close()

    def __enter__(self) -> "WatchServer":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class _Server(ThreadingHTTPServer):
    allow_reuse_address = os.name == "posix"  # elsewhere it would let another program take the port as well
    daemon_threads = True
    block_on_close = False
    request_queue_size = 32
    watched: Watched

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._free = threading.BoundedSemaphore(_MOST_CONNECTIONS)

    def server_bind(self) -> None:
        socketserver.TCPServer.server_bind(self)  # without asking the network for this machine's name
        self.server_name, self.server_port = HOST, int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that broke is nobody's concern."""


class _Bounded:
    """The lines of a request, until it is too long."""

    def __init__(self, file: Any) -> None:
        self._file, self._left = file, LONGEST_REQUEST

    def readline(self, limit: int = -1) -> bytes:
        if self._left <= 0:
            raise LineTooLong("request")
        line: bytes = self._file.readline(self._left if limit < 0 else min(limit, self._left))
        self._left -= len(line)
        return line

    def close(self) -> None:
        self._file.close()


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    raw_requestline: bytes
    timeout = _PATIENCE
    server_version, sys_version = "suasion", ""

    def setup(self) -> None:
        super().setup()
        self.rfile = _Bounded(self.rfile)  # type: ignore[assignment]
        self._refused = False

    def finish(self) -> None:
        super().finish()
        if not self._refused:
            return
        # Closed with bytes unread, a connection is reset, and the refusal may be lost on its way.
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            self.connection.settimeout(0.2)
            for _ in range(8):
                if not self.connection.recv(65536):
                    break

    def do_GET(self) -> None:
        """The page, or its data."""
        fault = self._fault()
        if fault is not None:
            self.send_error(*fault)
            return
        if self.path == "/":
            self._answer(self.server.watched.page().encode("utf-8", "replace"), "text/html; charset=utf-8")
        elif found := _DATA.fullmatch(self.path):
            self._answer(_data(self.server.watched.look(), found[1]), "application/json")
        else:
            self.send_error(HTTPStatus.NOT_FOUND)

    do_HEAD = do_GET

    def _fault(self) -> tuple[HTTPStatus, str] | None:
        """What is wrong with a request."""
        port = self.server.server_port
        hosts = self.headers.get_all("Host") or []
        if len(hosts) != 1 or hosts[0].strip().lower() not in (f"{HOST}:{port}", f"localhost:{port}"):
            return HTTPStatus.MISDIRECTED_REQUEST, "this server answers to its own address only"
        if self.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
            return HTTPStatus.FORBIDDEN, "asked by another site"
        origin = self.headers.get("Origin")
        if origin is not None and origin not in (f"http://{HOST}:{port}", f"http://localhost:{port}"):
            return HTTPStatus.FORBIDDEN, "asked by another site"
        if "Transfer-Encoding" in self.headers or self.headers.get("Content-Length", "0").strip() != "0":
            return HTTPStatus.BAD_REQUEST, "a request without a body is expected"
        return None

    def _answer(self, content: bytes, kind: str, status: HTTPStatus = HTTPStatus.OK, allow: str = "") -> None:
        self.send_response(status)
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        if allow:
            self.send_header("Allow", allow)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Plain words; nothing of the request comes back."""
        self.close_connection = self._refused = True
        unknown_method = code == HTTPStatus.NOT_IMPLEMENTED
        status = HTTPStatus.METHOD_NOT_ALLOWED if unknown_method else HTTPStatus(code)
        said = message if code in (HTTPStatus.MISDIRECTED_REQUEST, HTTPStatus.FORBIDDEN) else None
        self.request_version = "HTTP/1.0"  # what could not be read counts as 0.9, which has no headers
        allow = "GET, HEAD" if unknown_method else ""
        self._answer(f"{status.value} {said or status.phrase}\n".encode(), "text/plain; charset=utf-8", status, allow)

    def parse_request(self) -> bool:
        """Refuse a first line that was cut off."""
        if len(self.raw_requestline) >= LONGEST_REQUEST:
            self.requestline, self.request_version, self.command = "", "HTTP/1.0", ""
            self.send_error(HTTPStatus.REQUEST_URI_TOO_LONG)
            return False
        return super().parse_request()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def _data(seen: Seen, number: str | None) -> bytes:
    """What is new for a page that has seen a number."""
    if number is not None and int(number) == seen.number:
        return json.dumps({"seen": seen.number, "status": seen.status}).encode()
    whole = {"seen": seen.number, "status": seen.status, "parts": seen.parts, "recorded": seen.recorded}
    return json.dumps(whole).encode()

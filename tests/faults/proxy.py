"""A proxy before a server that can be slow, answer 500, or be away, each for a number of requests."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SLOW_SECONDS = 2.0


class Proxy:
    """Passes requests on, and is what it was told to be from one request to another."""

    def __init__(self, port: int) -> None:
        self.behind = port
        self.requests = 0
        self.away: range = range(0)  # requests whose connection is dropped without an answer
        self.failing: range = range(0)  # requests answered with 500
        self.slow: range = range(0)  # requests answered after SLOW_SECONDS
        self.before: dict[int, Callable[[], None]] = {}  # what happens just before a request
        self.refused = 0  # requests for which nobody was behind the proxy
        self._lock = threading.Lock()

    def count(self) -> int:
        with self._lock:
            self.requests += 1
            return self.requests


@contextmanager
def proxy_to(port: int) -> Iterator[tuple[Proxy, str]]:
    """The proxy and its address."""
    proxy = Proxy(port)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def drop(self) -> None:
            self.close_connection = True
            self.connection.close()

        def answer(self) -> None:
            number = proxy.count()
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            proxy.before.get(number, lambda: None)()
            if number in proxy.away:
                self.drop()
                return
            if number in proxy.slow:
                time.sleep(SLOW_SECONDS)
            status, content, kind = 500, b"{}", "application/json"
            if number not in proxy.failing:
                behind = http.client.HTTPConnection("127.0.0.1", proxy.behind)
                kept = {k: v for k, v in self.headers.items() if k.lower() != "connection"}
                try:
                    behind.request(self.command, self.path, body, kept)
                    reply = behind.getresponse()
                    status, content = reply.status, reply.read()
                except (OSError, http.client.HTTPException):
                    proxy.refused += 1
                    self.drop()
                    return
                kind = reply.headers.get("Content-Type") or kind
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield proxy, f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()

"""A proxy before a server that can be slow, answer 500, or be away, each for a number of requests."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Proxy:
    """Passes requests on, and is what it was told to be from one request to another."""

    def __init__(self, port: int) -> None:
        self.behind = port
        self.requests = 0
        self.away: range = range(0)  # requests whose connection is dropped without an answer
        self.failing: range = range(0)  # requests answered with 500
        self.delay = 0.0
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

        def answer(self) -> None:
            number = proxy.count()
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if number in proxy.away:
                self.close_connection = True
                self.connection.close()
                return
            time.sleep(proxy.delay)
            status, content, kind = 500, b"{}", "application/json"
            if number not in proxy.failing:
                behind = http.client.HTTPConnection("127.0.0.1", proxy.behind)
                kept = {k: v for k, v in self.headers.items() if k.lower() != "connection"}
                behind.request(self.command, self.path, body, kept)
                reply = behind.getresponse()
                status, content = reply.status, reply.read()
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

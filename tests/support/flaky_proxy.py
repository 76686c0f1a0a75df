"""An HTTP proxy between a client and a server that fails as networks do, when and how it is told to."""

from __future__ import annotations

import http.client
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal

Kind = Literal["delay", "status", "reset", "cut", "short"]


@dataclass
class Fault:
    """What happens to one request.

    Attributes:
        kind: "delay": the answer comes after `value` seconds; "status": the answer is HTTP `value`; "reset": half of
            the body, then the connection is reset; "cut": half of the body, then it is closed as if all was said;
            "short": the server says there is half as much, and sends that.
        value: seconds or status.
        method: of the requests meant.
        name: what their path ends with.
        times: how many.
    """

    kind: Kind
    value: float = 0
    method: str = "GET"
    name: str = ""
    times: int = 1


@dataclass
class Proxy:
    """A running proxy.

    Attributes:
        port: where it listens.
        faults: those to come; the first that fits a request is used up by it.
        requests: method and path of each request.
        met: kind of each fault that a request met.
    """

    upstream: int
    port: int = 0
    faults: list[Fault] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    met: list[str] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def next_fault(self, method: str, path: str) -> Fault | None:
        """The fault that a request meets."""
        with self.lock:
            self.requests.append(f"{method} {path}")
            for fault in self.faults:
                if fault.times and fault.method == method and path.partition("?")[0].endswith(fault.name):
                    fault.times -= 1
                    self.met.append(fault.kind)
                    return fault
        return None


@contextmanager
def flaky_proxy(upstream: int) -> Iterator[Proxy]:
    """Passes requests on to a port of this machine while the block runs."""
    proxy = Proxy(upstream)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"proxy": proxy}))
    server.daemon_threads = True
    proxy.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    proxy: Proxy
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = self._body()
        fault = self.proxy.next_fault(self.command, self.path)
        if fault and fault.kind == "delay":
            self.proxy.closing.wait(fault.value)
        if fault and fault.kind == "status":
            self._answer(int(fault.value), {"Content-Type": "application/xml"}, b"<Error><Code>Busy</Code></Error>")
            return
        status, headers, answer = self._upstream(body)
        if fault and fault.kind == "short":
            answer = answer[: len(answer) // 2]
            headers["Content-Length"] = str(len(answer))
        if fault and fault.kind in ("reset", "cut"):
            self._break_off(status, headers, answer, reset=fault.kind == "reset")
        else:
            self._answer(status, headers, answer)

    do_HEAD = do_PUT = do_POST = do_DELETE = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        pieces = []
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass  # trailers
        return b"".join(pieces)

    def _upstream(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.proxy.upstream, timeout=60)
        try:
            unwanted = ("transfer-encoding", "content-length", "connection", "expect")
            headers = {name: value for name, value in self.headers.items() if name.lower() not in unwanted}
            connection.request(self.command, self.path, body, {**headers, "Content-Length": str(len(body))})
            answer = connection.getresponse()
            data = answer.read()
            kept = {n: v for n, v in answer.getheaders() if n.lower() not in ("connection", "transfer-encoding")}
            return answer.status, {"Content-Length": str(len(data)), **kept}, data
        finally:
            connection.close()

    def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        try:
            self._head(status, {"Content-Length": str(len(body)), **headers})
            if self.command != "HEAD":
                self.wfile.write(body)
        except OSError:
            self.close_connection = True  # who asked has given up

    def _break_off(self, status: int, headers: dict[str, str], body: bytes, reset: bool) -> None:
        self._head(status, headers)
        self.wfile.write(body[: len(body) // 2])
        self.wfile.flush()
        if reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        self.close_connection = True

    def _head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

"""A small S3 over HTTP in this process: lists, stats and reads objects, in ranges, and fails when it is told to.

Enough of the protocol for an SDK's client (ListObjectsV2, HeadObject, GetObject); signatures are not checked. Tests
that write, and those of the sampler, take moto's server (tests/support/moto_server.py).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

BUCKET = "bucket"
PAGE = 2
"""Keys of one page of a listing: a client that does not ask on misses some."""


@dataclass
class Store:
    """What the server holds.

    Attributes:
        objects: key → bytes, in one bucket.
        broken: keys whose reads fail from this byte on.
        requests: method and path of each request.
        port: where it listens.
    """

    objects: dict[str, bytes] = field(default_factory=dict)
    broken: dict[str, int] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    port: int = 0

    @property
    def query(self) -> str:
        """What a `s3://` path takes behind it to be read here."""
        return f"?endpoint_override=127.0.0.1:{self.port}&scheme=http&region=us-east-1"


@contextmanager
def s3_server() -> Iterator[Store]:
    """Serves a store while the block runs."""
    store = Store()
    handler = type("Handler", (_Handler,), {"store": store})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    store.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield store
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    store: Store
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.store.requests.append(f"HEAD {self.path}")
        data = self.store.objects.get(self._key())
        self._answer(404 if data is None else 200, b"", length=len(data or b""))

    def do_GET(self) -> None:
        self.store.requests.append(f"GET {self.path}")
        key = self._key()
        if not key:
            self._answer(200, self._listing())
        elif key not in self.store.objects:
            self._answer(404, _error("NoSuchKey"))
        else:
            self._read(key, self.store.objects[key])

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""

    def _key(self) -> str:
        bucket, _, key = unquote(urlsplit(self.path).path).lstrip("/").partition("/")
        return key if bucket == BUCKET else f"not in {BUCKET}"

    def _read(self, key: str, data: bytes) -> None:
        first, _, last = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")
        start, end = int(first), min(int(last or len(data) - 1), len(data) - 1)
        if end >= self.store.broken.get(key, len(data)):
            self._answer(500, _error("InternalError"))
        else:
            self._answer(206, data[start : end + 1], {"Content-Range": f"bytes {start}-{end}/{len(data)}"})

    def _listing(self) -> bytes:
        asked = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
        prefix, delimiter = asked.get("prefix", ""), asked.get("delimiter", "")
        after = asked.get("continuation-token", "")
        keys = sorted(k for k in self.store.objects if k.startswith(prefix) and k > after)
        page, rest = keys[:PAGE], keys[PAGE:]
        folders = sorted({prefix + k[len(prefix) :].partition("/")[0] + "/" for k in page if "/" in k[len(prefix) :]})
        files = [k for k in page if not delimiter or "/" not in k[len(prefix) :]]
        body = "".join(
            f"<Contents><Key>{escape(k)}</Key><Size>{len(self.store.objects[k])}</Size><ETag>e</ETag>"
            "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
            for k in files
        )
        if delimiter:
            body += "".join(f"<CommonPrefixes><Prefix>{escape(f)}</Prefix></CommonPrefixes>" for f in folders)
        more = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if rest else ""
        return (
            f'<?xml version="1.0"?><ListBucketResult><Name>{BUCKET}</Name><Prefix>{escape(prefix)}</Prefix>'
            f"<KeyCount>{len(page)}</KeyCount><IsTruncated>{str(bool(rest)).lower()}</IsTruncated>{more}{body}"
            "</ListBucketResult>"
        ).encode()

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None, length: int = 0) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/xml", "ETag": '"e"', **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
        self.send_header("Content-Length", str(len(body) or length))
        self.end_headers()
        self.wfile.write(body)


def _error(code: str) -> bytes:
    return f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>{code}</Message></Error>'.encode()

"""Write the demo's files the way a crawl stores them: JSON lines, web pages, WARC records.

WARC records are put together by hand, one gzip member each, so that their bytes are the same in every run: no
clock, and ids that are derived from address and content.
"""

from __future__ import annotations

import gzip
import hashlib
import html
import re
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson
import zstandard

from filters.quality.packaged_texts import Text

Record = dict[str, Any]


def json_lines(records: Iterable[Record]) -> bytes:
    """Return records as JSON lines."""
    return b"".join(orjson.dumps(record) + b"\n" for record in records)


def write_jsonl(path: Path, records: Iterable[Record]) -> None:
    """Write records as JSON lines, compressed as the file's name says."""
    data = json_lines(records)
    if path.suffix == ".zst":
        data = zstandard.ZstdCompressor(level=3).compress(data)
    elif path.suffix == ".gz":
        data = gzip.compress(data, compresslevel=6, mtime=0)
    write_bytes(path, data)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def html_page(text: Text, charset: str) -> bytes:
    """Return a text as the web page it could be: a menu, paragraphs, a footer."""
    paragraphs = [p for p in re.split(r"\n{2,}" if charset == "utf-8" else r"\n", text.text) if p.strip()]
    body = "\n".join(f"<p>{html.escape(paragraph)}</p>" for paragraph in paragraphs)
    page = (
        f'<!DOCTYPE html>\n<html><head><meta charset="{charset}"><title>{html.escape(text.title)}</title>'
        '</head>\n<body><nav><ul><li><a href="/">Home</a></li><li><a href="/index.html">Index</a></li></ul>'
        "</nav>\n"
        f"<main><article>\n{body}\n</article></main>\n"
        "<footer><p>All rights reserved. Contact us.</p></footer></body></html>\n"
    )
    return page.encode(charset, errors="xmlcharrefreplace")


def warc_member(url: str, content: bytes, charset: str | None, status: str = "200 OK") -> bytes:
    """Return one WARC response record as a gzip member of its own, as archives store them.

    Its id is derived from address and content; the charset is that of an HTML page, None for an image.
    """
    media_type = f"text/html; charset={charset}" if charset else "image/png"
    head = f"HTTP/1.1 {status}\r\nContent-Type: {media_type}\r\nContent-Length: {len(content)}\r\n\r\n"
    block = head.encode() + content
    record_id = uuid.uuid5(uuid.NAMESPACE_URL, f"{url}#{hashlib.sha256(content).hexdigest()}")
    header = (
        "WARC/1.0\r\nWARC-Type: response\r\n"
        f"WARC-Target-URI: {url}\r\nWARC-Date: 2023-09-20T00:00:00Z\r\n"
        f"WARC-Record-ID: <urn:uuid:{record_id}>\r\n"
        f"Content-Type: application/http; msgtype=response\r\nContent-Length: {len(block)}\r\n\r\n"
    )
    return gzip.compress(header.encode() + block + b"\r\n\r\n", mtime=0)

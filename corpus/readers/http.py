"""An HTTP response in an archive: whether it is a page, its decompressed bytes, its characters.

Archives differ from the wire: crawlers often store a body already decoded and keep the headers that describe
the encoded one (Common Crawl, Heritrix, pywb), so a header is a hint that the bytes have to confirm.
fastwarc's `auto_decode` trusts the header and fails on such records.

Cost: one copy of a body, or its decompression.
"""

from __future__ import annotations

import codecs
import io
import zlib

from corpus.records import Reason

HTML_TYPES = frozenset({"text/html", "application/xhtml+xml"})
PLAIN_TYPES = frozenset({"text/plain"})

_OVERRULED = frozenset({"cp1252", "iso8859-1", "latin-1"})  # never fail to decode, and are declared by default


class BodyError(Exception):
    """A body that cannot be used; reason and detail are those of the Bad."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason: Reason = reason
        self.detail = detail


def media_type(content_type: str | None, body: bytes) -> str:
    """Return a content type without its parameters; without a header, what the decoded body looks like."""
    kind = (content_type or "").partition(";")[0].strip().lower()
    if kind:
        return kind
    opening = body[:1024].lower()
    return "text/html" if b"<html" in opening or b"<!doctype html" in opening else "unknown"


def decode_body(body: bytes, transfer_encoding: str, content_encoding: str, max_bytes: int) -> bytes:
    """Undo chunking and compression where the bytes show that they are still there; a header may be empty.

    Raises:
        BodyError: if it decodes to more than `max_bytes` or is damaged.
    """
    if "chunked" in transfer_encoding.lower():
        body = _without_chunks(body)
    coding = content_encoding.strip().lower()
    if coding in ("gzip", "x-gzip") and body[:2] == b"\x1f\x8b":
        return _inflate(body, 31, max_bytes)
    if coding == "deflate" and body and body[0] & 0x0F == 8 and int.from_bytes(body[:2]) % 31 == 0:
        return _inflate(body, 15, max_bytes)
    if coding == "br" and body.lstrip()[:1] != b"<":
        return _unbrotli(body, max_bytes)
    return body


def decode_page(data: bytes, charset: str | None) -> str:
    """Decode a page by the first that fits: byte order mark, HTTP charset, UTF-8, detection.

    Detection is resiliparse's (the page's own `meta` element, then statistics). A declared Latin-1 gives way to valid
    UTF-8, as servers declare it by default and it fits anything. Undecodable bytes become U+FFFD.
    """
    from resiliparse.parse.encoding import detect_encoding

    for mark, encoding in (
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if data.startswith(mark):
            return data.removeprefix(codecs.BOM_UTF8).decode(encoding, "replace")
    declared = _codec(charset)
    if declared is not None and declared not in _OVERRULED and (text := _strict(data, declared)) is not None:
        return text
    if (charset is not None or not data.isascii()) and (text := _strict(data, "utf-8")) is not None:
        return text
    if declared is not None and (declared in _OVERRULED or _nearly_fits(data, declared)):
        return data.decode(declared, "replace")
    detected = _codec(detect_encoding(data, from_html_meta=True)) or "utf-8"
    return data.decode(detected, "replace")


def _nearly_fits(data: bytes, encoding: str) -> bool:
    """Whether at most one in ten bytes beyond ASCII is undecodable: a page cut inside a character, a slip."""
    broken = data.decode(encoding, "replace").count("\ufffd")
    return 10 * broken <= len(data) - len(data.decode("ascii", "ignore"))


def _strict(data: bytes, encoding: str) -> str | None:
    try:
        text = data.decode(encoding)
        text.encode()
    except UnicodeError:
        return None
    return text


def _codec(label: str | None) -> str | None:
    """Return the codec that browsers use for a label (`gb2312` means GBK), or None for an unknown one."""
    from resiliparse.parse.encoding import map_encoding_to_html5

    if not label:
        return None
    try:
        codec = codecs.lookup(map_encoding_to_html5(label, fallback_utf8=False) or label)
        "a".encode(codec.name)
    except (LookupError, ValueError):
        return None
    return codec.name


def _without_chunks(body: bytes) -> bytes:
    """Undo chunked transfer; a body that is not chunked comes back as it is, a cut one as far as it goes."""
    pieces: list[bytes] = []
    at = 0
    while at < len(body):
        line_end = body.find(b"\n", at, at + 1024)
        digits = body[at:line_end].partition(b";")[0].strip() if line_end >= 0 else b""
        try:
            size = int(digits, 16)
        except ValueError:
            return b"".join(pieces) if pieces else body
        if size <= 0:
            break
        pieces.append(body[line_end + 1 : line_end + 1 + size])
        at = line_end + 1 + size
        at += len(body[at : at + 2]) - len(body[at : at + 2].lstrip(b"\r\n"))
    return b"".join(pieces)


def _inflate(body: bytes, wbits: int, max_bytes: int) -> bytes:
    """Decompress; a cut body, as crawlers that limit sizes leave it, gives what there is."""
    decoder = zlib.decompressobj(wbits)
    try:
        data = decoder.decompress(body, max_bytes + 1)
    except zlib.error as error:
        raise BodyError("extraction_error", "the compressed HTTP body is damaged") from error
    return _bounded(data, max_bytes)


def _unbrotli(body: bytes, max_bytes: int) -> bytes:
    from fastwarc.stream_io import BrotliReader

    pieces: list[bytes] = []
    try:
        reader = BrotliReader(io.BytesIO(body))
        while sum(map(len, pieces)) <= max_bytes and (piece := reader.read(65536)):
            pieces.append(piece)
    except OSError:
        if not pieces:  # not brotli at all: the crawler has decoded it
            return body
    return _bounded(b"".join(pieces), max_bytes)


def _bounded(data: bytes, max_bytes: int) -> bytes:
    if len(data) > max_bytes:
        raise BodyError("oversized", f"an HTTP body of more than {max_bytes} bytes")
    return data

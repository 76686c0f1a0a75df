"""WARC and WET: responses that are pages, and conversions, parsed by fastwarc.

The archive is opened member by member (`corpus.streams`) and each member is handed to fastwarc on its
own, rather than the whole file at once: fastwarc stops for good at the first damaged member and returns a cut
record as if it were whole, while a member that ended badly is known here, becomes a Bad, and the next one is
read.

Offset and length are those of the gzip member or zstd frame that holds the record, as in CDX indexes; in an
uncompressed archive, those of the record. Where records share a member (a whole archive in one member), the
bytes that stand before the record in the decompressed member are added to the offset, and the length is
decompressed too.

Not supported: zstd archives with a dictionary, and a record that spans members. Both come out as Bads. In an
uncompressed archive nothing but a record's own length tells where the next one starts, so a damaged header
may cost its neighbour too, and a damaged body cannot be noticed.

Cost: zlib's speed, plus HTML extraction, which dominates (some 1-3 ms a page).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from fastwarc.warc import ArchiveIterator, WarcRecord

from corpus.extract import ExtractionFailed, Extractor, page_text
from corpus.inputs import InputConfig, InputFile
from corpus.readers.columns import with_text
from corpus.readers.http import HTML_TYPES, PLAIN_TYPES, BodyError, decode_body, decode_page, media_type
from corpus.readers.limits import Limits
from corpus.records import Bad, Reason, Record
from corpus.streams import Compression, Fault, Member, Raw, find_member, next_member

_OPENING = b"WARC/1."
_DOCUMENT_TYPES = ("response", "conversion")
_CUT: Reason = "truncated_archive"


@dataclass(frozen=True, slots=True)
class _Page:
    """A record's content, out of its archive: decoded, but HTML is still to be extracted; the HTTP charset of HTML."""

    headers: dict[str, str]
    body: bytes
    charset: str | None
    html: bool


_Content = _Page | Fault | None  # a document, the reason why it is none, or nothing to report


@dataclass(frozen=True, slots=True)
class _Held:
    """A record inside a member, where bytes are counted decompressed; `whole` says whether all of it is there."""

    start: int
    end: int
    content: _Content
    whole: bool


@dataclass(frozen=True, slots=True)
class _Place:
    """A record's content, and its offset and length in the file."""

    offset: int
    length: int
    content: _Content


def read_warc(raw: Raw, file: InputFile, config: InputConfig, limits: Limits) -> Iterator[Record | Bad]:
    """Yield a Record or a Bad for each response or conversion, and count the others in `limits.skipped`."""
    extractor = partial(page_text, main_content=config.main_content)
    with Extractor(extractor, limits.extraction_timeout_seconds) as extract:
        for place in _places(raw, file.compression, limits):
            if isinstance(place.content, Fault):
                yield Bad(place.offset, place.length, place.content.reason, place.content.detail)
            elif place.content is not None:
                yield _document(place.content, place, config, extract)


def _document(page: _Page, place: _Place, config: InputConfig, extract: Extractor) -> Record | Bad:
    try:
        text = extract(decode_page(page.body, page.charset)) if page.html else _plain(page)
    except ExtractionFailed as failed:
        return Bad(place.offset, place.length, failed.reason, failed.detail)
    except UnicodeDecodeError as error:
        return Bad(place.offset, place.length, "invalid_utf8", f"byte {error.start} of the record's body")
    fields = config.fields.model_copy(update={"id": "WARC-Record-ID", "url": "WARC-Target-URI"})
    named = config.model_copy(update={"fields": fields})
    return with_text(text, page.headers, named, place.offset, place.length)


def _plain(page: _Page) -> str:
    """Decode plain text: a conversion is UTF-8 by definition, a response what its server says or it seems."""
    if page.headers.get("WARC-Type") == "conversion":
        return page.body.decode()
    return decode_page(page.body, page.charset)


def _places(raw: Raw, compression: Compression, limits: Limits) -> Iterator[_Place]:
    """Yield every record of an archive, going on behind damage wherever another member or record is found."""
    while (member := next_member(raw, compression)) is not None:
        walk = _Walk(member, limits)
        for held, end in walk.all_but_last():
            yield _Place(member.offset + held.start, end - held.start, held.content)
        rest = walk.last.start if walk.last is not None else 0
        if walk.last is not None and not walk.last_is_lost:
            yield _Place(member.offset + rest, _last_length(raw, compression, walk), walk.last.content)
            rest = walk.last.end
        if walk.fault is not None:
            yield _damage(raw, compression, walk, rest)


class _Walk:
    """The records of one member; the last is held back until it is known how the member ends.

    `alone` says whether `last` is the only one; `fault` how the member ended, None if well.
    """

    def __init__(self, member: Member, limits: Limits) -> None:
        self.member = member
        self.last: _Held | None = None
        self.alone = True
        self.fault: Fault | None = None
        self._limits = limits

    @property
    def last_is_lost(self) -> bool:
        """Whether the last record is cut, or inside a member whose checksum cannot be trusted."""
        fault = self.member.fault
        return self.last is not None and (not self.last.whole or (fault is not None and fault.reason != _CUT))

    def all_but_last(self) -> Iterator[tuple[_Held, int]]:
        """Yield records with the byte of the decompressed member at which they end."""
        try:
            for record in ArchiveIterator(self.member, parse_http=False, stream_detect=False):  # type: ignore[arg-type]
                if self.last is not None:
                    self.alone = False
                    yield self.last, record.stream_pos
                self.last = _hold(record, self._limits)
        except BaseException as error:
            if not isinstance(error, OSError) and type(error).__name__ != "PanicException":
                raise
            self.fault = Fault("corrupt_archive", "not a WARC record")
        else:
            self.member.drain()
            if self.last is not None and not self.last.whole:
                self.fault = Fault(_CUT, "the file ends inside a record")
        if self.member.fault is not None:
            self.fault = self.member.fault


def _last_length(raw: Raw, compression: Compression, walk: _Walk) -> int:
    """Return what a member's last record takes: the member if it is alone in it."""
    member, last = walk.member, walk.last
    assert last is not None
    if compression != "none" and walk.alone:
        return (raw.size if member.end is None else member.end) - member.offset
    return (last.end if walk.fault is not None else member.delivered) - last.start


def _damage(raw: Raw, compression: Compression, walk: _Walk, rest: int) -> _Place:
    """Place the damage of a member, and go to the next record, or to the end if there is none.

    `rest` is the first byte of the decompressed member that gave no record.
    """
    member, fault = walk.member, walk.fault
    assert fault is not None
    if compression != "none" and member.fault is None:
        member.drain()  # what is inside is no WARC, but the member may still be whole
        fault = member.fault or fault
    if compression != "none" and member.end is not None:
        resume: int | None = member.end
    else:
        first = member.offset + (rest if compression == "none" else 0) + 1
        resume = find_member(raw, compression, first, _OPENING)
    if resume is not None and fault.reason == _CUT:
        fault = Fault("corrupt_archive", "a record is shorter than it says")
    end = raw.size if resume is None else resume
    raw.seek(end)
    if compression == "none" or rest == 0:
        return _Place(member.offset + rest, max(0, end - member.offset - rest), fault)
    if walk.alone and not walk.last_is_lost:
        return _Place(end, 0, fault)  # the record is whole and has taken all of the member
    return _Place(member.offset + rest, max(0, member.delivered - rest), fault)


def _hold(record: WarcRecord, limits: Limits) -> _Held:
    start = record.stream_pos
    declared = record.content_length
    headers = record.headers
    header_bytes = sum(len(name) + len(value) + 4 for name, value in headers.items_bytes())
    end = start + len(headers.status_line_bytes or b"") + 2 + header_bytes + 2 + declared + 4
    content, whole = _content(record, limits)
    return _Held(start, end, content, whole and "Content-Length" in headers)


def _content(record: WarcRecord, limits: Limits) -> tuple[_Content, bool]:
    """Take a record's content, and tell whether all of it is there."""
    kind = str(record.record_type)
    declared = record.content_length
    if kind not in _DOCUMENT_TYPES:
        limits.skipped[kind] += 1
        return None, record.consume() == declared
    if declared > limits.max_record_bytes:
        problem = Fault("oversized", f"a record of more than {limits.max_record_bytes} bytes")
        return problem, record.consume() == declared
    if kind == "conversion":
        body = record.reader.read()
        return _Page(_columns(record), body, None, html=False), len(body) == declared
    if not record.is_http:
        return Fault("not_a_page", "not an HTTP response"), record.consume() == declared
    record.parse_http(quirks_mode=True)
    left = record.content_length
    body = record.reader.read()
    return _page(record, body, limits), len(body) == left


def _page(record: WarcRecord, body: bytes, limits: Limits) -> _Page | Fault:
    http = record.http_headers
    if http.status_code != 200:
        return Fault("not_a_page", f"status {http.status_code}")
    transfer, coding = http.get("Transfer-Encoding") or "", http.get("Content-Encoding") or ""
    try:
        body = decode_body(body, transfer, coding, limits.max_record_bytes)
    except BodyError as error:
        return Fault(error.reason, error.detail)
    kind = media_type(http.get("Content-Type"), body)
    if kind not in HTML_TYPES | PLAIN_TYPES:
        return Fault("not_a_page", kind[:80])
    return _Page(_columns(record), body, record.http_charset, html=kind in HTML_TYPES)


def _columns(record: WarcRecord) -> dict[str, str]:
    """Return the WARC headers; id and URL without the brackets that some writers put around them."""
    columns = dict(record.headers.items())
    for name in ("WARC-Record-ID", "WARC-Target-URI"):
        if name in columns:
            columns[name] = columns[name].strip("<>")
    return columns

"""What a reader yields: a `Record` for a document, a `Bad` for raw data that never became one.

Two plain types rather than exceptions or a result wrapper: bad content is ordinary in a crawl, it has to be
counted, and a generator that raised would lose the records behind it.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Reason = Literal[
    "truncated_archive",
    "corrupt_archive",
    "invalid_utf8",
    "invalid_encoding",
    "broken_json",
    "no_text",
    "empty_text",
    "oversized",
    "extraction_timeout",
    "extraction_error",
    "not_a_page",
]

REASONS = MappingProxyType[Reason, str](
    {
        "truncated_archive": "the file ends before this record does",
        "corrupt_archive": "the container (gzip, zstd, WARC, Parquet) is damaged here",
        "invalid_utf8": "bytes that have to be UTF-8 are not",
        "invalid_encoding": "bytes are not in the encoding that the configuration names",
        "broken_json": "the line is not one JSON object",
        "no_text": "there is no text field, or it is not a string",
        "empty_text": "the text is empty or white space only",
        "oversized": "the record is larger than max_record_bytes",
        "extraction_timeout": "turning HTML into text took longer than extraction_timeout_seconds",
        "extraction_error": "turning HTML into text failed",
        "not_a_page": "a response that carries no page: its status is not 200 or its content is not text",
    }
)
"""Every reason a `Bad` may have, with the sentence that explains it."""


@dataclass(frozen=True, slots=True)
class Record:
    """One document as its source gives it: its text unchanged and never blank.

    `offset` is where it starts in its file. JSONL and text: byte in the decompressed stream. WARC and WET: byte in the
    file as stored, at the start of the compressed member. Parquet: row number in the file. `length` has the same unit
    (Parquet: 1 row). `source_id` is the record's own, `source` the collection; `extra` holds the further columns that
    the configuration keeps, as a JSON object with sorted keys.
    """

    offset: int
    length: int
    text: str
    source_id: str | None
    url: str | None
    source: str | None
    lang: str | None
    licence: str | None
    extra: str | None


@dataclass(frozen=True, slots=True)
class Bad:
    """Raw data that did not become a document; `detail` never names a time or a path of the machine.

    Offset and length are as in `Record`; where the whole file is unreadable 0 and its bytes. The length is 0 where an
    archive was cut exactly between two records.
    """

    offset: int
    length: int
    reason: Reason
    detail: str

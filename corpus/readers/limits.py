"""The bounds that a run sets on every reader, and what a reader counts beside its records."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on one record, and a count.

    A raw record larger than `max_record_bytes` is a Bad, which bounds memory; an HTML page gets so many seconds to
    become text; `skipped` counts, by type, WARC records that are no documents.
    """

    max_record_bytes: int
    extraction_timeout_seconds: float
    skipped: Counter[str] = field(default_factory=Counter)

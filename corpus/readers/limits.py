"""The bounds that a run sets on every reader, and what a reader counts beside its records."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on one record.

    Attributes:
        max_record_bytes: a larger raw record is a Bad; it bounds memory.
        extraction_timeout_seconds: longest time to turn one HTML page into text.
        skipped: counts, by type, WARC records that are no documents.
    """

    max_record_bytes: int
    extraction_timeout_seconds: float
    skipped: Counter[str] = field(default_factory=Counter)

"""Web pages of which people have marked the main content."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.corpora.base_text import read_records
from filters.quality.references import bare
from text.arrow import TextColumn
from text.segment import Spans


def gold_pages(data: Path, name: str, lang: str) -> list[dict[str, Any]]:
    """The pages of a file with main content that the model was not trained on."""
    return [
        r
        for r in read_records(data / f"{name}.jsonl.zst")
        if r["lang"] == lang and r.get("main") and r["source"] != "netease-news"
    ]


def in_main(column: TextColumn, spans: Spans, mains: list[str]) -> Any:
    """Which sentences stand in the main content of their page, white space aside; bool[n_spans]."""
    whole = [bare(text) for text in mains]
    pieces = spans.as_column(column)
    document = np.repeat(np.arange(len(column)), np.diff(spans.ptr)).tolist()
    return np.array([bare(pieces.text_at(i)) in whole[document[i]] for i in range(len(pieces))])

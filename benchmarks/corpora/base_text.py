"""The real text that benchmark corpora are made from: English and Chinese documents of the shared data folder.

Test sets, word lists, pages of other languages and short documents are left out. The documents of one language lie
together, in the order of their files, so that a corpus depends on its seed alone. Cost: some 4 s for 105 MB.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zstandard

from tamis.places import ROOT

DATA = ROOT.parent / "shared" / "data"
"""The shared data folder beside a checkout."""
LANGUAGES = ("en", "zh")
MIN_BYTES = 500


@dataclass(frozen=True, slots=True)
class BaseDocument:
    """One real document.

    Attributes:
        source_id: file and number in it.
        lang: "en" or "zh".
        text: UTF-8 bytes.
    """

    source_id: str
    lang: str
    text: bytes


def read_records(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a `.jsonl.zst` file."""
    with path.open("rb") as file:
        for line in io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(file), "utf-8"):
            yield json.loads(line)


def base_documents(
    data: Path = DATA, langs: tuple[str, ...] = LANGUAGES, min_bytes: int = MIN_BYTES
) -> list[BaseDocument]:
    """The real documents of some languages, language by language.

    Args:
        data: the shared data folder.
        langs: "en", "zh" or both.
        min_bytes: shorter documents are left out.

    Raises:
        SystemExit: the folder holds no such text.
    """
    found: dict[str, list[BaseDocument]] = {lang: [] for lang in langs}
    for path in sorted(data.glob("*.jsonl.zst")):
        stem = path.name.removesuffix(".jsonl.zst")
        for number, record in enumerate(read_records(path)):
            lang = str(record.get("lang", ""))[:2]
            text = str(record["text"]).encode("utf-8", "replace")
            if lang in found and len(text) >= min_bytes:
                found[lang].append(BaseDocument(f"{stem}-{number}", lang, text))
    documents = [d for lang in langs for d in found[lang]]
    if not documents:
        raise SystemExit(f"there is no English or Chinese text in {data}; name its place with --data")
    return documents

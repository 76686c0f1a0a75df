"""What the peers share: reading, tokens for tools without a tokenizer, and the answer.

Tools that take sets get words and single Han characters, found by a regular expression, or else they would not handle
Chinese at all; the time for that counts as theirs, as their user would need it too.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow.parquet as pq

THRESHOLD = 0.75
PERMUTATIONS = 128
WIDTH = 5
_TOKEN = re.compile(r"[\u3400-\u9fff]|[^\W_\u3400-\u9fff]+")


def arguments() -> tuple[Path, Path, str]:
    """The folder to read, the file to write, the language.

    Raises:
        SystemExit: there are not three arguments.
    """
    if len(sys.argv) != 4:
        raise SystemExit("usage: python -m benchmarks.peers.NAME INPUT OUT.json LANG")
    return Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]


def documents(folder: Path) -> Iterator[tuple[str, str]]:
    """(id, text), file by file in batches."""
    for path in sorted(folder.glob("*.parquet")):
        for batch in pq.ParquetFile(path).iter_batches(1024, columns=["id", "text"]):
            yield from zip(batch.column("id").to_pylist(), batch.column("text").to_pylist(), strict=True)


def shingles(text: str) -> list[str]:
    """Token 5-grams, joined by spaces, repeats included; a shorter text is one."""
    tokens = _TOKEN.findall(text.lower())
    return [" ".join(tokens[i : i + WIDTH]) for i in range(max(1, len(tokens) - WIDTH + 1))]


def answer(out: Path, dropped: dict[str, str | None]) -> None:
    """Writes what the tool drops."""
    out.write_text(json.dumps({"dropped": dropped}), "utf-8")


def keep_first(pairs: Iterable[tuple[int, int]]) -> dict[int, int]:
    """Drops the later document of each pair (later, earlier), unless the earlier is dropped itself."""
    gone: dict[int, int] = {}
    for later, earlier in sorted(pairs):
        if earlier not in gone:
            gone.setdefault(later, earlier)
    return gone

"""The texts that tokenizers are compared on: a fixed number of bytes of each group, drawn by hash.

A draw takes documents in the order of `hash(seed, id)` until it has the bytes wanted. It is found in one pass over
documents of unknown number and size, with a heap that drops its largest hash while the rest is enough, so memory is
the bytes wanted and one document. Documents stay whole, the same seed gives the same draw, and a larger draw contains
the smaller one.

Of a domain of a run held-out documents are taken, since a tokenizer trained on the run has not seen them; if it has
none, training documents, and the result says so. Cost: one read of all documents.
"""

from __future__ import annotations

import hashlib
import heapq
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from corpus.config import key_value, parse
from corpus.inputs import FORMATS, InputConfig, InputFile, resolve_inputs
from corpus.readers import read
from corpus.records import Record
from sampler.published import Shard, list_shards, read_rows
from tamis.errors import ConfigError, TamisError
from tamis.progress import SILENT, Progress, each
from text.hash import uniform

_SALT = 0x636F6D7072657373  # makes the draw independent of the tokenizer's training sample
_MAX_RECORD_BYTES, _EXTRACTION_SECONDS = 32 << 20, 20.0  # the pipeline's own defaults


@dataclass(frozen=True, kw_only=True)
class TextGroup:
    """Texts of one language or domain."""

    name: str  # of the domain or input
    origin: Literal["held-out", "training", "input"]  # "held-out" or "training" documents of a run, or "input" files
    texts: list[str]  # whole documents, none of them empty


def smallest_hashes(documents: Iterable[tuple[float, str]], wanted_bytes: int) -> list[str]:
    """The texts with the smallest keys that together have at least the UTF-8 bytes wanted, or all, in the order of
    their keys; of equal keys the earlier document comes first.
    """
    heap: list[tuple[float, int, str, int]] = []  # -key, so that the largest is on top; -number, to break ties
    total = 0
    for number, (key, text) in enumerate(documents):
        size = len(text.encode("utf-8"))
        if not size or (total >= wanted_bytes and key >= -heap[0][0]):
            continue
        heapq.heappush(heap, (-key, -number, text, size))
        total += size
        while total - heap[0][3] >= wanted_bytes:
            total -= heapq.heappop(heap)[3]
    return [text for _, _, text, _ in sorted(heap, key=lambda item: (-item[0], -item[1]))]


def run_groups(run: Path, wanted_bytes: int, seed: int, progress: Progress = SILENT) -> list[TextGroup]:
    """Texts of each domain of a run, of so many UTF-8 bytes a domain.

    Raises:
        TamisError: the run has no published shards, or one cannot be read.
    """
    shards = list_shards(run)
    groups = []
    for domain, items in each(progress, "reading domains", list(shards.items())):
        origin: Literal["held-out", "training"] = "held-out"
        texts = smallest_hashes(_rows(items, heldout=True, seed=seed), wanted_bytes)
        if not texts:
            origin = "training"
            texts = smallest_hashes(_rows(items, heldout=False, seed=seed), wanted_bytes)
        if texts:
            groups.append(TextGroup(name=domain, origin=origin, texts=texts))
    if not groups:
        raise TamisError(f"{run / 'shards'}: holds no text to measure a tokenizer on.")
    return groups


def input_groups(inputs: Sequence[str], wanted_bytes: int, seed: int, progress: Progress = SILENT) -> list[TextGroup]:
    """Texts of files, of so many UTF-8 bytes a name, from NAME=GLOB each; one name may have several globs. Formats are
    recognised as in the pipeline; files with another suffix, such as source code, are plain text.

    Raises:
        ConfigError: an input is not NAME=GLOB, matches nothing, or holds no text.
        ReadError: storage fails.
    """
    named: dict[str, list[str]] = {}
    for text in inputs:
        name, glob = key_value(text, "--input", "NAME=GLOB")
        named.setdefault(name, []).append(glob)
    groups = []
    for name, globs in named.items():
        config = parse(InputConfig, {"domain": name, "paths": tuple(globs), "format": "text"}, "--input")
        found = resolve_inputs([config], base_dir=Path.cwd(), where=lambda *_, given=name: f"--input {given}")
        files = [replace(file, format=_format(file)) for file in found]
        texts = smallest_hashes(_records(files, config, seed, progress), wanted_bytes)
        if not texts:
            raise ConfigError(f"--input {name}: found no text in {len(files)} files; expected at least one document")
        groups.append(TextGroup(name=name, origin="input", texts=texts))
    return groups


def _rows(shards: Sequence[Shard], *, heldout: bool, seed: int) -> Iterator[tuple[float, str]]:
    for shard in shards:
        for rows in read_rows(shard):
            keys = uniform(seed ^ _SALT, rows.doc_ids)
            for row in np.flatnonzero(rows.heldout == heldout):
                yield float(keys[row]), rows.texts[row]


def _records(
    files: Sequence[InputFile], config: InputConfig, seed: int, progress: Progress
) -> Iterator[tuple[float, str]]:
    """(key, text) of each record; a record is identified by file and offset, and bad ones are left out."""
    for file in each(progress, f"reading {config.domain}", files):
        found = read(file, config, max_record_bytes=_MAX_RECORD_BYTES, extraction_timeout_seconds=_EXTRACTION_SECONDS)
        for record in found:
            if isinstance(record, Record):
                identity = f"{seed}\0{file.name}\0{record.offset}".encode()
                digest = hashlib.blake2b(identity, digest_size=8).digest()
                yield int.from_bytes(digest) / 2**64, record.text


def _format(file: InputFile) -> str:
    stem, suffix = os.path.splitext(file.name.lower())
    if file.compression != "none":
        suffix = os.path.splitext(stem)[1]
    return FORMATS.get(suffix, "text")

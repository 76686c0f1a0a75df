"""Token bins as Megatron-LM's indexed dataset, one pair of files a domain, for those who train with Megatron.

::

    .bin   the documents' tokens back to back, each ending with its end-of-document token as in our bins
    .idx   "MMIDIDX\\0\\0", uint64 version 1, uint8 token type, uint64 sequences, uint64 documents + 1;
           sizes      int32[sequences]       tokens of each
           pointers   int64[sequences]       bytes before each
           documents  int64[documents + 1]   0 … sequences: a document is one sequence

The type is 8 (uint16) if our bins have that, else 4 (int32): Megatron knows no uint32, and no vocabulary needs the
last bit. The end tokens are those that Megatron's own preprocessing adds under `--append-eod`. Document weights are
not applied, as the format has none; domains are weighted in Megatron's `--data-path`.

The export streams: it copies a window of tokens at a time, with checksums checked as in every read of a bin, and goes
over our (memory-mapped) indexes once for each array of Megatron's. Cost: one read and one write of the tokens.

Source: Megatron-LM, megatron/core/datasets/indexed_dataset.py, `_IndexWriter` and `DType`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
import numpy.typing as npt

from corpus.files import atomic_file
from sampler.bins.build import dtype_of
from sampler.bins.format import AnyBin, TokenBins, Tokens
from tamis.errors import ConfigError, TamisError
from tamis.progress import SILENT, Progress

Split = Literal["train", "heldout", "all"]
TYPES = {"<u2": ("<u2", 8), "<u4": ("<i4", 4)}
"""Type of our tokens → Megatron's type and its code."""

_MAGIC = b"MMIDIDX\x00\x00"
_HEADER = struct.Struct("<9sQBQQ")
_WINDOW = 1 << 22  # tokens: whole chunks of a bin's checks
_STRIDE = 1 << 20  # entries of an index array
_MAX_LENGTH = (1 << 31) - 1


@dataclass(frozen=True, kw_only=True)
class MegatronDataset:
    """What was written of a domain."""

    domain: str
    prefix: str | None  # of the paths, without `.bin`, for `--data-path`; None if the split has none of its documents
    documents: int
    tokens: int  # of all of them, end tokens included
    dtype: str  # of a token in the file


def export_megatron(
    bins: TokenBins, out: Path, split: Split = "train", progress: Progress = SILENT
) -> list[MegatronDataset]:
    """Write `OUT/<split>_<domain>.bin` and `.idx` for every domain; a pair of that name is replaced.

    Raises:
        ConfigError: no document of the bins is in the split.
        TamisError: a bin is corrupt, or a document too long for the format.
    """
    dtype, code = TYPES[dtype_of(bins.vocab_size)]
    counts = {name: sum(int(chosen(s, split).sum()) for s in shards) for name, shards in bins.domains.items()}
    if not any(counts.values()):
        raise ConfigError(f"--split: found {split}, in which these bins have no document; expected another split")
    found, done = [], 0
    progress.start("writing Megatron files", sum(map(len, bins.domains.values())))
    for domain, shards in bins.domains.items():
        prefix, documents, tokens = out / f"{split}_{domain}", counts[domain], 0
        if documents:  # Megatron cannot map an empty file
            with _pair(prefix) as (data, index):
                for number, shard in enumerate(shards):
                    progress.update(done + number)
                    tokens += _write_tokens(data, shard, split, dtype)
                _write_index(index, shards, split, documents, np.dtype(dtype).itemsize, code)
        done += len(shards)
        progress.update(done)
        found.append(
            MegatronDataset(
                domain=domain,
                prefix=str(prefix) if documents else None,
                documents=documents,
                tokens=tokens,
                dtype=np.dtype(dtype).name,
            )
        )
    progress.finish()
    return found


def chosen(shard: AnyBin, split: Split) -> npt.NDArray[np.bool_]:
    """Which documents of a shard are in a split: bool[n_docs]."""
    held = shard.index.heldout.view(np.bool_)
    return {"train": ~held, "heldout": held, "all": np.ones(len(held), np.bool_)}[split]


def kept_tokens(shard: AnyBin, kept: npt.NDArray[np.bool_], window: int = _WINDOW) -> Iterator[Tokens]:
    """The tokens of the documents `kept`, bool[n_docs], of a shard, in order; `window` tokens are read at a time."""
    offsets = shard.index.offsets
    for start in range(0, shard.tokens, window):
        stop = min(start + window, shard.tokens)
        first, last = np.searchsorted(offsets, start, "right") - 1, np.searchsorted(offsets, stop, "left")
        inside = kept[first:last]
        if inside.any():
            tokens = shard.read(start, stop)
            ends = np.clip(offsets[first : last + 1], start, stop)
            yield tokens if inside.all() else tokens[np.repeat(inside, ends[1:] - ends[:-1])]


@contextmanager
def _pair(prefix: Path) -> Iterator[tuple[BinaryIO, BinaryIO]]:
    """Both files, renamed into place when both are complete, the index last; an old index is removed before that."""
    index_path = prefix.with_name(f"{prefix.name}.idx")
    with atomic_file(index_path) as index, atomic_file(prefix.with_name(f"{prefix.name}.bin")) as data:
        yield data, index
        index_path.unlink(missing_ok=True)


def _write_tokens(file: BinaryIO, shard: AnyBin, split: Split, dtype: str) -> int:
    count = 0
    for tokens in kept_tokens(shard, chosen(shard, split)):
        file.write(np.ascontiguousarray(tokens.astype(dtype, copy=False)).data)
        count += len(tokens)
    return count


def _write_index(file: BinaryIO, shards: Sequence[AnyBin], split: Split, documents: int, size: int, code: int) -> None:
    file.write(_HEADER.pack(_MAGIC, 1, code, documents, documents + 1))
    for lengths in _lengths(shards, split):
        file.write(lengths.astype("<i4").tobytes())
    before = 0
    for lengths in _lengths(shards, split):
        ends = np.cumsum(lengths * size)
        file.write((before + ends - lengths * size).astype("<i8").tobytes())
        before += int(ends[-1])
    for start in range(0, documents + 1, _STRIDE):
        file.write(np.arange(start, min(start + _STRIDE, documents + 1), dtype="<i8").tobytes())


def _lengths(shards: Sequence[AnyBin], split: Split) -> Iterator[npt.NDArray[np.int64]]:
    """Tokens of each chosen document, in pieces: int64[≤ 2^20], none empty."""
    for shard in shards:
        offsets, kept = shard.index.offsets, chosen(shard, split)
        for start in range(0, len(kept), _STRIDE):
            part = slice(start, start + _STRIDE)
            lengths = np.diff(offsets[start : start + _STRIDE + 1])[kept[part]]
            if len(lengths) and lengths.max() > _MAX_LENGTH:
                raise TamisError(
                    f"{shard.name}: found a document of {lengths.max()} tokens; expected at most {_MAX_LENGTH}, "
                    "which Megatron's format holds"
                )
            if len(lengths):
                yield lengths

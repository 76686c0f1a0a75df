"""Token bins: published shards, tokenised once, as flat files to map into memory.

A shard is a pair of files, `<domain>/<shard>.bin` and `.idx`. A domain has a manifest, `<domain>/manifest.json`,
written last. `bins.json` above them names the domains and the tokenizer, whose model lies beside it.

::

    .bin   every document's tokens and an end-of-document token, back to back, in doc_id order, little-endian
           uint16 where the vocabulary fits and uint32 otherwise: numpy.memmap reads it
    .idx   "TAMISIDX", then int64 each: format, documents, tokens, bytes a token, chunks;
           offsets  int64[documents + 1]   where documents start, in tokens
           doc_ids  int64[documents]
           checks   uint64[chunks]         one a mebibyte of the .bin
           heldout  uint8[documents]

Why bins, and not tokenising while training: BPE runs at a few MB/s a core, a memory map at GB/s, and random access
needs lengths in tokens anyway. Weights are stored elsewhere, so bins do not change with the curve. Indexes are
memory-mapped too: a reader's private memory does not grow with the corpus.

**Checks.** Verifying the sha256 of every file at opening would read all of it before the first batch. Instead the
manifest has a 64-bit checksum of each index, and the index one for every mebibyte of its bin. A reader checks a
mebibyte when it first uses it, so that a corrupt, truncated or replaced file is refused by name before any of its
tokens is used. The checksums protect against accidents only; `tamis tokens verify` recomputes the sha256.

Cost: reading the manifests at opening; then checksums at some 10 GB/s, once for each mebibyte and process.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from sampler.bins.checksums import CHUNK, check_of, checks_of_chunks
from sampler.bins.store import Store
from tamis.errors import TamisError

FORMAT = 2
_MAGIC = b"TAMISIDX"
_HEADER = struct.Struct("<8s5q")
Tokens = npt.NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class ShardIndex:
    """The index of a bin; its arrays are read-only views, mostly of a memory map."""

    offsets: npt.NDArray[np.int64]  # [n_docs + 1], in tokens
    doc_ids: npt.NDArray[np.int64]  # [n_docs], ascending
    heldout: npt.NDArray[np.uint8]  # [n_docs]
    checks: npt.NDArray[np.uint64]  # [n_chunks], one a mebibyte of the bin


class ShardBin:
    """One shard's tokens, checked as they are read. `entry` is its entry in the manifest: shard, documents, tokens, bin
    and idx with bytes, sha256 and check; `dtype`, of a token, `<u2` or `<u4`.
    """

    def __init__(self, entry: dict[str, Any], domain: str, dtype: str, store: Store) -> None:
        self.name = f"{domain}/{entry['shard']}"
        self.documents: int = entry["documents"]
        self.tokens: int = entry["tokens"]
        self.digest: str = entry["bin"]["sha256"] + entry["idx"]["sha256"]
        self.entry = entry
        self.dtype = np.dtype(dtype)
        self.store = store
        self._index: ShardIndex | None = None
        self._checked: npt.NDArray[np.bool_] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Pickle without the memory maps: another process maps the files itself."""
        return {**vars(self), "_index": None, "_checked": None}

    @property
    def remote(self) -> bool:
        """Whether reading goes over a network."""
        return not self.store.mapped

    @property
    def index(self) -> ShardIndex:
        """Offsets, ids and checks.

        Raises:
            TamisError: the file is missing, truncated, replaced or corrupt.
        """
        if self._index is None:
            path = f"{self.name}.idx"
            data = self.store.map(path, self.entry["idx"]["bytes"], self.entry["idx"]["sha256"])
            if check_of(data) != int(self.entry["idx"]["check"], 16):
                raise corrupt(self.store.where(path), self.store)
            self._index = self._parsed(data, path)
        return self._index

    def _parsed(self, data: npt.NDArray[np.uint8], path: str) -> ShardIndex:
        """The arrays of an index; its header must agree with the manifest."""
        said = (self.documents, self.tokens, self.dtype.itemsize)
        head = _HEADER.unpack(data[: _HEADER.size].tobytes()) if len(data) >= _HEADER.size else ()
        if head[:2] != (_MAGIC, FORMAT) or head[2:5] != said:
            raise TamisError(f"{self.store.where(path)}: does not fit its manifest; build the bins again.")
        ends = np.cumsum([_HEADER.size, 8 * (self.documents + 1), 8 * self.documents, 8 * head[5], self.documents])
        offsets, doc_ids, checks, heldout = (data[a:b] for a, b in zip(ends[:-1], ends[1:], strict=True))
        return ShardIndex(
            offsets=offsets.view(np.int64),
            doc_ids=doc_ids.view(np.int64),
            checks=checks.view(np.uint64),
            heldout=heldout,
        )

    def read(self, start: int, stop: int) -> Tokens:
        """Tokens start…stop-1, checked: a view of the map, or a copy if the store is remote.

        Raises:
            TamisError: as `index`, of the bin.
        """
        if stop <= start:
            return np.zeros(0, self.dtype)
        size, path, total = self.dtype.itemsize, f"{self.name}.bin", self.entry["bin"]["bytes"]
        low, high = start * size // CHUNK, -(-stop * size // CHUNK)
        if self.store.mapped:
            data, first = self.store.map(path, total), 0
        else:  # whole chunks, as each checksum covers one
            first, end = low * CHUNK, min(total, high * CHUNK)
            data = self.store.read(path, first, end - first, lambda found: self._sound(found, low, high))
        self._check(data[low * CHUNK - first : high * CHUNK - first], low, high, path)
        return data[start * size - first : stop * size - first].view(self.dtype)

    def _sound(self, data: npt.NDArray[np.uint8], low: int, high: int) -> bool:
        return np.array_equal(checks_of_chunks(data), self.index.checks[low:high])

    def _check(self, data: npt.NDArray[np.uint8], low: int, high: int, path: str) -> None:
        if self._checked is None:
            self._checked = np.zeros(len(self.index.checks), np.bool_)
        if self.store.mapped and self._checked[low:high].all():
            return
        if not self._sound(data, low, high):
            raise corrupt(self.store.where(path), self.store)
        self._checked[low:high] = True


@dataclass(frozen=True)
class MemoryBin:
    """A bin in memory, for a first look or a test."""

    name: str  # `<domain>/<shard>`
    index: ShardIndex  # as `ShardBin.index`, without checks
    data: Tokens  # uint16|uint32[n_tokens]
    digest: str  # identifies the content
    remote = False

    @property
    def documents(self) -> int:
        """How many documents it holds."""
        return len(self.index.doc_ids)

    @property
    def tokens(self) -> int:
        """How many tokens."""
        return len(self.data)

    def read(self, start: int, stop: int) -> Tokens:
        """Tokens start…stop-1."""
        return self.data[start:stop]


AnyBin = ShardBin | MemoryBin


@dataclass(frozen=True, kw_only=True)
class TokenBins:
    """All bins of one tokenizer."""

    tokenizer_digest: str  # sha256 of the model that made them
    vocab_size: int
    eos_id: int  # the token that ends a document
    domains: dict[str, Sequence[AnyBin]]  # domain → its shards, in order
    cache: str | None = field(default=None, compare=False)  # for indexes of domains (`stream.document_index`), or None

    @property
    def tokens(self) -> dict[str, int]:
        """Tokens of each domain."""
        return {name: sum(shard.tokens for shard in shards) for name, shards in self.domains.items()}


def index_bytes(
    offsets: npt.NDArray[np.int64], doc_ids: npt.NDArray[np.int64], heldout: npt.NDArray[np.bool_], tokens: Tokens
) -> bytes:
    """An index file; offsets are [n_docs + 1], the tokens those of the bin, for the checksums."""
    checks = checks_of_chunks(tokens.view(np.uint8))
    head = _HEADER.pack(_MAGIC, FORMAT, len(doc_ids), len(tokens), tokens.dtype.itemsize, len(checks))
    return b"".join([head, offsets.tobytes(), doc_ids.tobytes(), checks.tobytes(), heldout.astype(np.uint8).tobytes()])


def corrupt(place: str, store: Store) -> TamisError:
    """The error for a file that does not have the checksum in its manifest."""
    return TamisError(
        f"{place}: is corrupt or was exchanged, its digest is not its manifest's; "
        f"remove it and run `tamis tokens build --out {store.root}` again."
    )

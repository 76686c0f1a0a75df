"""Token bins: published shards, tokenised once, as flat files to map into memory.

One pair of files a shard, `<domain>/<shard>.bin` and `.idx`; one manifest a domain, `<domain>/manifest.json`,
written last; `bins.json` above them says which tokenizer made them, and its model lies beside it.

::

    .bin   every document's tokens and an end-of-document token, back to back, in doc_id order, little-endian
           uint16 where the vocabulary fits and uint32 otherwise: numpy.memmap reads it
    .idx   "TAMISIDX", then int64 each: format, documents, tokens, bytes a token, chunks;
           offsets  int64[documents + 1]   where documents start, in tokens
           doc_ids  int64[documents]
           checks   uint64[chunks]         one a mebibyte of the .bin
           heldout  uint8[documents]

Bins rather than tokenising while training: BPE runs at a few MB/s a core, a memory map at GB/s, and random access needs
lengths in tokens anyway. Weights stay outside, so another curve leaves bins alone. An index is a map too: what a reader
keeps of it in private memory does not grow with the corpus.

**Checks.** A sha256 of everything at opening would read all of it before the first batch. The manifest holds a 64-bit
check of each index, each index one for every mebibyte of its bin; a reader checks what it is about to deliver when it
touches it first, so that a corrupt, truncated or exchanged file is refused by name before a token of it is used. They
are made against accidents; `tamis tokens verify` recomputes the sha256 in the manifest.

Cost: opening a manifest; then checks at some 10 GB/s, once a mebibyte and process.
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
    """Where a bin's documents lie; arrays are read-only views, mostly of a map.

    Attributes:
        offsets: int64[n_docs + 1], in tokens.
        doc_ids: int64[n_docs], ascending.
        heldout: uint8[n_docs].
        checks: uint64[n_chunks], one a mebibyte of the bin.
    """

    offsets: npt.NDArray[np.int64]
    doc_ids: npt.NDArray[np.int64]
    heldout: npt.NDArray[np.uint8]
    checks: npt.NDArray[np.uint64]


class ShardBin:
    """One shard's tokens, checked as they are read.

    Args:
        entry: what the manifest says of it: shard, documents, tokens, bin and idx with bytes, sha256 and check.
        domain: its domain.
        dtype: of a token, `<u2` or `<u4`.
        store: where the files lie.
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
        """Without what is mapped: another process maps it itself."""
        return {**vars(self), "_index": None, "_checked": None}

    @property
    def remote(self) -> bool:
        """Whether reading goes over a network."""
        return not self.store.mapped

    @property
    def index(self) -> ShardIndex:
        """Offsets, ids and checks.

        Raises:
            TamisError: the file is missing, truncated, exchanged or corrupt.
        """
        if self._index is None:
            path = f"{self.name}.idx"
            data = self.store.map(path, self.entry["idx"]["bytes"], self.entry["idx"]["sha256"])
            if check_of(data) != int(self.entry["idx"]["check"], 16):
                raise corrupt(self.store.where(path), self.store)
            self._index = self._parsed(data, path)
        return self._index

    def _parsed(self, data: npt.NDArray[np.uint8], path: str) -> ShardIndex:
        """The parts of an index, whose header must say what the manifest says."""
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
        """Tokens start…stop-1, checked: a view of the map, or a copy where the store is remote.

        Raises:
            TamisError: as `index`, of the bin.
        """
        if stop <= start:
            return np.zeros(0, self.dtype)
        size, path, total = self.dtype.itemsize, f"{self.name}.bin", self.entry["bin"]["bytes"]
        low, high = start * size // CHUNK, -(-stop * size // CHUNK)
        if self.store.mapped:
            data, first = self.store.map(path, total), 0
        else:  # whole chunks, for they are what the checks are of
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
    """A bin that was never written: of a first look, or of a test.

    Attributes:
        name: `<domain>/<shard>`.
        index: as `ShardBin.index`, without checks.
        data: uint16|uint32[n_tokens].
        digest: what tells it from others.
    """

    name: str
    index: ShardIndex
    data: Tokens
    digest: str
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
    """All bins of one tokenizer.

    Attributes:
        tokenizer_digest: sha256 of the model that made them.
        vocab_size: its pieces.
        eos_id: the token that ends a document.
        domains: domain → its shards, in order.
        cache: where an index over them may be kept, or None.
    """

    tokenizer_digest: str
    vocab_size: int
    eos_id: int
    domains: dict[str, Sequence[AnyBin]]
    cache: str | None = field(default=None, compare=False)

    @property
    def tokens(self) -> dict[str, int]:
        """Tokens of each domain."""
        return {name: sum(shard.tokens for shard in shards) for name, shards in self.domains.items()}


def index_bytes(
    offsets: npt.NDArray[np.int64], doc_ids: npt.NDArray[np.int64], heldout: npt.NDArray[np.bool_], tokens: Tokens
) -> bytes:
    """An index file.

    Args:
        offsets: int64[n_docs + 1].
        doc_ids: int64[n_docs].
        heldout: bool[n_docs].
        tokens: the bin's, for its checks.
    """
    checks = checks_of_chunks(tokens.view(np.uint8))
    head = _HEADER.pack(_MAGIC, FORMAT, len(doc_ids), len(tokens), tokens.dtype.itemsize, len(checks))
    return b"".join([head, offsets.tobytes(), doc_ids.tobytes(), checks.tobytes(), heldout.astype(np.uint8).tobytes()])


def corrupt(place: str, store: Store) -> TamisError:
    """The sentence for a file whose bytes are not those that its manifest names."""
    return TamisError(
        f"{place}: is corrupt or was exchanged, its digest is not its manifest's; "
        f"remove it and run `tamis tokens build --out {store.root}` again."
    )

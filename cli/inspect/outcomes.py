"""What two runs made of each document, matched, one chunk of narrow arrays after another: never a text.

Where both runs hold the same ingest, documents are matched by doc_id, shard by shard. Otherwise the key is the domain
of the input and the record's `source_id`: neither depends on how a run cut its shards or on what it decided. Where a
source_id occurs several times in a domain, the n-th occurrence in the one run is matched with the n-th in the other.

Cost: bytes, drops and edits of each document shard once, some 50 bytes of memory a document of a chunk. By key, a chunk
is a domain, or of a large domain those documents whose key falls into one of several parts: its narrow tables are then
read once a part, and memory stays bounded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from corpus.reading.run_reader import RunReader
    from corpus.run_folder import DocumentShard

KEPT, ABSENT = -1, -2
"""Codes beside those of `Names.reasons`: kept to the end; not in this run at all."""
MAX_ROWS = 2_000_000
"""Roughly how many documents of a run one chunk holds."""
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
Int64 = npt.NDArray[np.int64]


@dataclass
class Names:
    """What the codes of outcomes mean, in both runs: (stage, reason) → code, and domain → code."""

    reasons: dict[tuple[str, str], int] = field(default_factory=dict)
    domains: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What a run made of some documents, int64[n] each.

    `doc_id` is -1 where it is absent; `code` is `KEPT`, `ABSENT`, or that of the stage and reason that dropped it;
    `size` are bytes as ingested, `left` those that no stage has cut; `domain` is a code, after re-assignment by
    predicate.
    """

    doc_id: Int64
    code: Int64
    size: Int64
    left: Int64
    domain: Int64

    def take(self, rows: npt.NDArray[Any]) -> Outcomes:
        """The outcomes of some rows; row -1 stands for a document that the run does not hold."""
        absent = np.array([[-1], [ABSENT], [0], [0], [-1]], np.int64)
        return Outcomes(*np.concatenate([self.table(), absent], axis=1)[:, rows])

    def table(self) -> Int64:
        """int64[5, n], in the order of the attributes."""
        return np.stack([self.doc_id, self.code, self.size, self.left, self.domain])


@dataclass(frozen=True, slots=True)
class Matched:
    """Outcomes in two runs, row by row of the same document."""

    a: Outcomes
    b: Outcomes


def same_ingest(a: RunReader, b: RunReader) -> bool:
    """Whether two runs hold the same document shards."""
    return bool(a.run.ingest.body["identity"] == b.run.ingest.body["identity"])


def matched(a: RunReader, b: RunReader, names: Names, max_rows: int = MAX_ROWS) -> Iterator[Matched]:
    """Every document of two runs, in chunks; see the module for how they are matched."""
    if same_ingest(a, b):
        for ours, theirs in zip(a.shards, b.shards, strict=True):
            yield Matched(outcomes(a, ours, names), outcomes(b, theirs, names))
        return
    for domain in dict.fromkeys(shard.domain for shard in (*a.shards, *b.shards)):
        rows = max(sum(s.rows for s in run.shards if s.domain == domain) for run in (a, b))
        parts = max(1, -(-rows // max_rows))
        for part in range(parts):
            yield _joined(_keyed(a, domain, names, part, parts), _keyed(b, domain, names, part, parts))


def outcomes(reader: RunReader, shard: DocumentShard, names: Names) -> Outcomes:
    """The outcomes of one document shard: the first decision that drops a document wins."""
    from corpus.shard_state import ShardState

    size, _ = shard.lengths()
    state, code = ShardState.fresh(shard.rows), np.full(shard.rows, KEPT, np.int64)
    for stage, manifest in reader.chain:
        drops = manifest.read("drops", shard.number, ["row", "reason"])
        if drops is not None and drops.num_rows:
            reasons = drops.column("reason").combine_chunks().dictionary_encode()
            codes = [names.reasons.setdefault((stage, r), len(names.reasons)) for r in reasons.dictionary.to_pylist()]
            rows = drops.column("row").to_numpy()
            fresh = code[rows] == KEPT
            code[rows[fresh]] = np.array(codes, np.int64)[reasons.indices.to_numpy()][fresh]
        edits = manifest.read("edits", shard.number)
        state = state.after(None, edits)
    ids = shard.first_id + np.arange(shard.rows, dtype=np.int64)
    return Outcomes(ids, code, size, size - state.edits.cut_bytes(), _domains(reader, shard, names))


def _domains(reader: RunReader, shard: DocumentShard, names: Names) -> Int64:
    found = np.full(shard.rows, names.domains.setdefault(shard.domain, len(names.domains)), np.int64)
    for stage, manifest in reader.chain:
        table = manifest.read("columns", shard.number, ["row", "domain"]) if stage == "eligibility" else None
        if table is not None and table.num_rows:
            given = table.column("domain").to_pylist()
            found[table.column("row").to_numpy()] = [names.domains.setdefault(d, len(names.domains)) for d in given]
    return found


@dataclass(frozen=True, slots=True)
class _Keyed:
    """Outcomes with a key each, unique within a run: uint64[n]."""

    key: npt.NDArray[np.uint64]
    of: Outcomes


def _keyed(reader: RunReader, domain: str, names: Names, part: int, parts: int) -> _Keyed:
    """A part of a domain's documents, by key."""
    keys, tables = [np.zeros(0, np.uint64)], [np.zeros((5, 0), np.int64)]
    for shard in reader.shards:
        if shard.domain != domain:
            continue
        key = _keys(reader, shard)
        rows = np.flatnonzero(key % np.uint64(parts) == part)
        keys.append(key[rows])
        tables.append(outcomes(reader, shard, names).table()[:, rows])
    return _Keyed(_numbered(np.concatenate(keys)), Outcomes(*np.concatenate(tables, axis=1)))


def _keys(reader: RunReader, shard: DocumentShard) -> npt.NDArray[np.uint64]:
    """A 64-bit hash of each document's source_id."""
    from text.arrow import TextColumn
    from text.hash import digest128

    table = reader.run.ingest.read("urls", shard.number, ["source_id"])
    assert table is not None
    column = TextColumn.from_arrow(table.column("source_id"))
    low, _ = digest128(column)
    with np.errstate(over="ignore"):  # the digest takes white space together; the length tells such ids apart
        return low.view(np.uint64) ^ (column.lengths.astype(np.uint64) * _GOLDEN)


def _numbered(keys: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Keys made unique: the n-th occurrence of one, in corpus order, gets a number of its own."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    first = np.concatenate([[True], ordered[1:] != ordered[:-1]]) if len(keys) else np.zeros(0, np.bool_)
    places = np.arange(len(keys))
    nth = places - np.maximum.accumulate(np.where(first, places, 0)) if len(keys) else places
    with np.errstate(over="ignore"):
        keys = keys.copy()
        keys[order] += nth.astype(np.uint64) * _GOLDEN
    return keys


def _joined(a: _Keyed, b: _Keyed) -> Matched:
    """All documents of both: those in both first, then A's own, then B's."""
    _, rows_a, rows_b = np.intersect1d(a.key, b.key, assume_unique=True, return_indices=True)
    own_a = np.setdiff1d(np.arange(len(a.key)), rows_a, assume_unique=True)
    own_b = np.setdiff1d(np.arange(len(b.key)), rows_b, assume_unique=True)
    ours = np.concatenate([rows_a, own_a, np.full(len(own_b), -1)]).astype(np.int64)
    theirs = np.concatenate([rows_b, np.full(len(own_a), -1), own_b]).astype(np.int64)
    return Matched(a.of.take(ours), b.of.take(theirs))

"""The held-out text of a data ablation: given, or chosen from the run; and what must leave every arm because of it.

A *relative* of a text is an ingested document that contains 20 % of its 5-grams, or has 20 % of its own 5-grams in
common with it. Held-out text is chosen by hash from the published documents without a copy, near copy, semantic
neighbour, repeated span or relative. Relatives of given text leave every arm, and so do chosen documents themselves:
raw text holds copies of everything, and an arm with a copy of the text that it is judged on would look good.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.corpora.ablation_corpus import MOST_SHARED, most_shared
from benchmarks.tools.ablation.arm_texts import read_published, texts_of
from benchmarks.tools.ablation.reading_arms import FULL, TEXT, Source
from sampler.published import list_shards
from text.arrow import TextColumn
from text.hash import uniform

ALONE = {"frequency": 1, "component_size": 1, "semantic_size": 1, "max_span_copies": 1}
"""The published columns of a document that nothing else in the run resembles."""
MOST_HELD = 0.1
"""The largest share of the published text of a language that is held out."""
SPARE = 3
"""How many times the wanted bytes are checked for relatives, to have enough left."""

Ids = npt.NDArray[np.int64]


def choose_held_out(source: Source, size: int, seed: int) -> pa.Table:
    """Published documents that nothing else in the run resembles, by hash: as TEXT.

    Args:
        source: the run.
        size: UTF-8 bytes of each language; at most a tenth of its published text is taken.
        seed: of the hash.
    """
    published = read_published(source.root, ["doc_id", "bytes", *ALONE])
    full = texts_of(source, FULL)
    alone = np.logical_and.reduce([published[name].to_numpy() == value for name, value in ALONE.items()])
    sizes, ids = published["bytes"].to_numpy(), published["doc_id"].to_numpy()
    languages = np.array(full["language"].to_pylist())
    order = np.argsort(uniform(seed, ids), kind="stable")
    limits = {lang: min(size, int(MOST_HELD * sizes[languages == lang].sum())) for lang in source.languages}
    mine = [order[(alone & (languages == lang))[order]] for lang in source.languages]
    candidates = np.concatenate(
        [_first(rows, sizes, SPARE * limit) for rows, limit in zip(mine, limits.values(), strict=True)]
    )
    apart = candidates[_shared_with_others(source, full.take(pa.array(candidates))) < MOST_SHARED]
    chosen = [_first(apart[languages[apart] == lang], sizes, limit) for lang, limit in limits.items()]
    return full.take(pa.array(np.sort(np.concatenate(chosen))))


def _first(rows: Ids, sizes: npt.NDArray[np.int32], size: int) -> Ids:
    """The first rows that together have so many bytes."""
    return rows[: int(np.searchsorted(np.cumsum(sizes[rows]), size)) + 1]


def _shared_with_others(source: Source, candidates: pa.Table) -> npt.NDArray[np.float64]:
    """What each candidate shares with its nearest ingested document that is no candidate: float64[n], 0 to 1."""
    column, ids = TextColumn.from_arrow(candidates["text"]), candidates["doc_id"].to_numpy()
    found = np.zeros(len(ids))
    for shard in source.folder.shards:
        others = np.flatnonzero(~np.isin(shard.first_id + np.arange(shard.rows), ids))
        texts = shard.read(["text"])["text"].take(pa.array(others))
        found = np.maximum(found, most_shared(TextColumn.from_arrow(texts), column))
    return found


def read_reference(reference: Path) -> pa.Table:
    """Held-out text that lies as shards, `shards/<language>/*.parquet`: as TEXT."""
    parts = []
    for lang, shards in list_shards(reference).items():
        for shard in shards:
            found = pq.read_table(shard.path, columns=["doc_id", "text"], partitioning=None)
            texts, n = found["text"].cast(pa.large_string()), found.num_rows
            parts.append(pa.table([found["doc_id"], texts, [lang] * n, pa.nulls(n, pa.string())], schema=TEXT))
    return pa.concat_tables(parts)


def relatives(source: Source, held: pa.Table) -> tuple[Ids, float]:
    """The relatives of held-out documents, and the largest share that any other document has in common with one."""
    column = TextColumn.from_arrow(held["text"])
    found, most = [np.zeros(0, np.int64)], 0.0
    for shard in source.folder.shards:
        shared = most_shared(column, shard.text())
        found.append(shard.first_id + np.flatnonzero(shared >= MOST_SHARED))
        most = max(most, float(shared[shared < MOST_SHARED].max(initial=0.0)))
    return np.concatenate(found), most

"""The documents that an arm takes of a run, and those that the run has published."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.tools.ablation.reading_arms import FILTERED, FULL, Arm, Source
from sampler.published import list_shards
from tamis.errors import ConfigError, TamisError

Ids = npt.NDArray[np.int64]


def texts_of(source: Source, arm: Arm) -> pa.Table:
    """An arm's documents, as TEXT, in the order of ids.

    Raises:
        TamisError: those of the full arm are not those that the run has published.
    """
    found = source.documents(arm.takes)
    if arm == FILTERED:
        return _with_copies(found, *source.exact_copies())
    if arm == FULL:
        _require_published(source.root, found)
    return found


def _with_copies(found: pa.Table, copies: Ids, survivors: Ids) -> pa.Table:
    """The documents, where an exact copy has the text of its survivor, and is dropped if that one is."""
    ids = found["doc_id"].to_numpy()
    at = np.searchsorted(ids, copies)
    is_copy = at < len(ids)
    is_copy[is_copy] = ids[at[is_copy]] == copies[is_copy]
    where = np.arange(len(ids))
    home = np.searchsorted(ids, survivors[is_copy])
    there = home < len(ids)
    there[there] = ids[home[there]] == survivors[is_copy][there]
    where[at[is_copy]] = np.where(there, home, -1)
    kept = np.flatnonzero(where >= 0)
    texts = found["text"].combine_chunks().take(pa.array(where[kept]))
    return found.take(pa.array(kept)).set_column(1, "text", texts)


def _require_published(root: Path, found: pa.Table) -> None:
    published = read_published(root, ["doc_id", "text"])
    if not (
        published["doc_id"].equals(found["doc_id"])
        and published["text"].cast(pa.large_string()).equals(found["text"].cast(pa.large_string()))
    ):
        raise TamisError(f"{root}: its decisions do not give its published shards; please report this")


def read_published(root: Path, columns: list[str]) -> pa.Table:
    """Some columns of all published shards, in the order of ids."""
    paths = [shard.path for shards in list_shards(root).values() for shard in shards]
    for path in paths:
        if missing := set(columns) - set(pq.read_schema(path).names):
            raise ConfigError(f"--run: found {path} without the column {min(missing)}; expected a run of this version")
    return pa.concat_tables([pq.read_table(p, columns=columns, partitioning=None) for p in paths]).sort_by("doc_id")

"""The arms of a data ablation as files that the sampler reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.tools.ablation.arm_texts import texts_of
from benchmarks.tools.ablation.held_out import relatives
from benchmarks.tools.ablation.reading_arms import ARMS, FULL, Arm, Source
from sampler.published import list_shards
from sampler.weight_files import Weights, find_weights
from tamis.errors import ConfigError
from text.arrow import TextColumn


def write_arms(source: Source, held: pa.Table, out: Path, chosen: bool) -> dict[str, Any]:
    """Writes `out/<arm>/shards/<language>/<language>.parquet`, weights beside the full arm's, and the held-out text.

    Args:
        source: the run.
        held: the held-out documents, as TEXT.
        out: folder.
        chosen: whether they come from the run; ids of given text mean nothing here.

    Returns:
        Documents and bytes held out by language, how many relatives were excluded, and bytes of each arm by language.

    Raises:
        ConfigError: the held-out text or an arm has no text in a language.
    """
    excluded, most = relatives(source, held)
    gone = np.union1d(excluded, held["doc_id"].to_numpy()) if chosen else excluded
    facts: dict[str, Any] = {
        "heldout": _write(out / "heldout", held, source.languages),
        "excluded": len(excluded),
        "most_shared": most,
    }
    arms = {}
    for arm in ARMS:
        if not arm.scored:
            found = texts_of(source, arm)
            found = found.filter(pa.array(~np.isin(found["doc_id"].to_numpy(), gone)))
            arms[arm.name] = _write(out / arm.name, found, source.languages)
            if arm == FULL:
                _write_weights(source.root, out / arm.name, source.languages)
    return facts | {"arms": arms}


def weights_of(arm: Arm, folder: Path) -> Weights:
    """The weights of an arm's documents."""
    return Weights(folder=folder / "weights") if arm.scored else Weights.none()


def _write(folder: Path, documents: pa.Table, languages: Sequence[str]) -> dict[str, dict[str, int]]:
    facts = {}
    for lang, rows in _by_language(documents, languages):
        if not rows.num_rows:
            raise ConfigError(
                f"--languages: found {lang}, in which {folder.name} has no text; expected languages that the run holds"
            )
        split = pa.array(["train"] * rows.num_rows)
        path = folder / "shards" / lang / f"{lang}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(rows.drop_columns(["language"]).append_column("split", split), path, compression="zstd")
        size = int(TextColumn.from_arrow(rows["text"]).nbytes)
        facts[lang] = {"documents": rows.num_rows, "bytes": size}
    return facts


def _by_language(documents: pa.Table, languages: Sequence[str]) -> Iterator[tuple[str, pa.Table]]:
    found = np.array(documents["language"].to_pylist(), dtype=object)
    for lang in languages:
        yield lang, documents.filter(pa.array(found == lang)).combine_chunks()


def _write_weights(root: Path, folder: Path, languages: Sequence[str]) -> None:
    """The run's weights, in files of the same names as the folder's shards."""
    weights = find_weights(root)
    parts = []
    for shards in list_shards(root).values():
        for shard in shards:
            name = shard.path.relative_to(root / "shards").with_suffix("").as_posix()
            ids = pq.read_table(shard.path, columns=["doc_id"], partitioning=None)["doc_id"].to_numpy()
            parts.append((ids, weights.read(name, ids)))
    ids, values = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(ids)
    for lang in languages:
        mine = pq.read_table(folder / "shards" / lang / f"{lang}.parquet", columns=["doc_id"], partitioning=None)
        at = order[np.searchsorted(ids[order], mine["doc_id"].to_numpy())]
        path = folder / "weights" / lang / f"{lang}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"doc_id": mine["doc_id"], "weight": pa.array(values[at], pa.float32())}), path)

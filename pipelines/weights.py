"""Weights: a domain's curves turn frequency and quality into the expected number of times a document is sampled.

    weight = clamp(frequency_curve(copies) · quality_curve(quality), floor, cap)

A curve is a list of points, interpolated linearly (over log2 of the count for frequency) and flat outside; it need
not be
monotone: repetition speaks for a law and against a web page. Weights lie beside the shards, one narrow file each,
    under the hash of the curves: another curve rewrites neither text nor token bins.
"""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field, field_validator, model_validator

from corpus.config import StrictModel
from corpus.errors import TamisError
from corpus.files import FileEntry, Manifest, commit, load_manifest, stable_hash, write_table
from corpus.run_folder import RunFolder
from corpus.schemas import WEIGHTS
from pipelines.session import Cluster

Points = tuple[tuple[float, float], ...]


class Curve(StrictModel):
    """A domain's curves."""

    frequency: Points = Field(((1.0, 1.0),), description="(copies, factor) points, copies ascending from 1.")
    quality: Points = Field(
        ((0.0, 1.0), (1.0, 1.0)), description="(quality, factor) points, quality ascending in 0..1."
    )
    unknown_quality: float = Field(0.5, ge=0, le=1, description="Quality of a document that no model has scored.")
    floor: float = Field(0.0, ge=0, description="Least weight.")
    cap: float = Field(8.0, gt=0, le=64, description="Greatest weight; the sampler takes up to 64.")

    @field_validator("frequency", "quality")
    @classmethod
    def _ascending(cls, points: Points) -> Points:
        at = [p[0] for p in points]
        if not points or any(b <= a for a, b in zip(at[:-1], at[1:], strict=True)):
            raise ValueError("points must be given, with ascending first numbers")
        if not all(math.isfinite(p[0]) and math.isfinite(p[1]) and p[1] >= 0 for p in points):
            raise ValueError("factors must be finite and not negative")
        return points

    @field_validator("frequency")
    @classmethod
    def _counts(cls, points: Points) -> Points:
        if points[0][0] < 1:
            raise ValueError("copies start at 1: a document is its own first copy")
        return points

    @field_validator("quality")
    @classmethod
    def _shares(cls, points: Points) -> Points:
        if points[0][0] < 0 or points[-1][0] > 1:
            raise ValueError("quality lies between 0 and 1")
        return points

    @model_validator(mode="after")
    def _floor_below_cap(self) -> Curve:
        if self.floor > self.cap:
            raise ValueError(f"floor {self.floor} is above cap {self.cap}")
        return self

    def weigh(self, frequency: npt.NDArray[Any], quality: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Weights of documents: float32[n], from copies[n] (at least 1) and quality[n] (NaN where unknown)."""
        copies = np.log2(np.maximum(frequency.astype(np.float64), 1.0))
        known = np.nan_to_num(quality.astype(np.float64), nan=self.unknown_quality)
        by_count = np.interp(
            copies, np.log2(np.maximum([p[0] for p in self.frequency], 1.0)), [p[1] for p in self.frequency]
        )
        by_quality = np.interp(known, [p[0] for p in self.quality], [p[1] for p in self.quality])
        return np.clip(by_count * by_quality, self.floor, self.cap).astype(np.float32)


class WeightsConfig(StrictModel):
    """Curves by domain."""

    default: Curve = Curve()  # type: ignore[call-arg]
    domains: dict[str, Curve] = {}

    def curve(self, domain: str) -> Curve:
        """The curve in force for a domain."""
        return self.domains.get(domain, self.default)


def write_weights(run: RunFolder, config: WeightsConfig, published: Manifest, cluster: Cluster) -> Manifest:
    """Writes ``RUN/weights/<hash>`` for the published shards; does nothing if they lie there.

    Returns:
        The manifest; its folder's name is the hash of the curves and the shards.
    """
    key = stable_hash([config.model_dump(mode="json"), published.body["key"]])
    folder = run.root / "weights" / key
    manifest = load_manifest(folder)
    if manifest is None:
        shards = [f for f in published.files if f.table == "published"]
        payloads = [
            {
                "shard": str(published.folder / f.path), "name": f.path, "folder": str(folder),
                "curve": config.curve(f.info["domain"]).model_dump(mode="json"), "number": i,
            }
            for i, f in enumerate(shards)
        ]  # fmt: skip
        answers = cluster.map(
            "pipelines.weights:weigh_shard", payloads, label="weights", receipts=folder / "receipts",
            weights=[f.rows for f in shards],
        )  # fmt: skip
        entries = [place(folder, FileEntry(**a["file"]), a["name"]) for a in answers]
        manifest = commit(folder, {"key": key, "config": config.model_dump(mode="json")}, entries)
    state = run.state()
    if state.get("weights") != key:
        run.write_state({**state, "weights": key})
    return manifest


def weigh_shard(payload: dict[str, Any]) -> dict[str, Any]:
    """Task: the weights of one published shard, row by row."""
    table = pq.read_table(payload["shard"], columns=["doc_id", "frequency", "quality"], partitioning=None)
    curve = Curve.model_validate(payload["curve"])
    quality = table.column("quality").to_numpy(zero_copy_only=False).astype(np.float64)
    frequency = table.column("frequency").fill_null(1).to_numpy()
    rows = pa.table([table.column("doc_id"), pa.array(curve.weigh(frequency, quality))], schema=WEIGHTS)
    entry = write_table(Path(payload["folder"]), "weights", rows, kind="weights", shard=payload["number"])
    return {"file": asdict(entry), "name": payload["name"]}


def place(folder: Path, entry: FileEntry, name: str) -> FileEntry:
    """Gives a task's file its final name; if an earlier driver has done so, that one stands.

    Raises:
        TamisError: neither is there.
    """
    source, target = folder / entry.path, folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.exists():
        source.replace(target)
    elif not target.exists():
        raise TamisError(f"{source} has disappeared while the run went on; remove {folder} and run again")
    return replace(entry, path=name)

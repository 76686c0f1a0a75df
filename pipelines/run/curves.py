"""Curves: how the scores of a document become its weight, the average number of times that it is sampled.

    weight = clamp(frequency · quality · language · safety · density · cluster · raised, floor, cap)

Each factor but the last two is a curve over a score: points, interpolated linearly (over log2 of the count for
frequency) and flat outside. It need not be monotone: repetition speaks for a law and against a web page. `cluster`
balances the cells of `semantic_clusters`: with a temperature T a cell of n documents is sampled in proportion to n^T,
so that common topics come less often and rare ones more often; the factors have the mean 1 over all documents, apart
from what `max_factor` cuts off. `raised` is a factor for documents of some hosts, such as the report's curated sites.

`conf/scores/` holds curves by name; `weights: {default: web, domains: {law: law}}` takes them.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import ValidationInfo, field_validator, model_validator

from corpus.config import Refused, StrictModel, setting
from corpus.urls import host_of, hosts_above, url_key

Points = tuple[tuple[float, float], ...]
Numbers = npt.NDArray[Any]
_FLAT: Points = ((0.0, 1.0), (1.0, 1.0))


class Raised(StrictModel):
    """Documents of some hosts, those below them included, and what they are worth."""

    hosts: tuple[str, ...] = setting((), "Hosts; those below them are meant too.")
    factor: float = setting(1.0, "What the weights of their documents are multiplied by.", unit="factor", ge=0, le=64)

    @cached_property
    def _hosts(self) -> frozenset[str]:
        return frozenset(url_key(host) for host in self.hosts)

    def factors(self, urls: pa.ChunkedArray) -> npt.NDArray[np.float64]:
        """The factor of each document, float64[n], from its URL (null where it has none)."""
        if not self.hosts:
            return np.ones(len(urls))
        hosts = self._hosts
        codes = pc.dictionary_encode(pc.replace_substring_regex(urls, r"^([^/]*//[^/?#]*).*", r"\1")).combine_chunks()
        codes = codes.chunk(0) if isinstance(codes, pa.ChunkedArray) else codes
        named = [
            u is not None and any(h in hosts for h in hosts_above(host_of(url_key(u))))
            for u in codes.dictionary.to_pylist()
        ]
        at = codes.indices.fill_null(len(named)).to_numpy(zero_copy_only=False)
        return np.where(np.array([*named, False])[at], self.factor, 1.0)


class ClusterBalance(StrictModel):
    """How cells of different size share a domain's samples."""

    temperature: float = setting(
        1.0, "1 samples cells of semantic_clusters by their documents, 0 all cells alike.", unit="exponent", ge=0, le=1
    )
    max_factor: float = setting(4.0, "Most that documents of a small cell are raised by.", unit="factor", ge=1, le=64)

    def factors(self, sizes: Numbers, scale: float) -> npt.NDArray[np.float64]:
        """The factor of each document, float64[n], from its cell's size (NaN or 0: no cell, factor 1) and `scale`."""
        known = np.nan_to_num(sizes.astype(np.float64), nan=0.0)
        found = np.maximum(known, 1.0) ** (self.temperature - 1) * scale
        return np.where(known > 0, np.minimum(found, self.max_factor), 1.0)

    def scale(self, sizes: Numbers, documents: Numbers) -> float:
        """What gives the factors of all documents that have a cell the mean 1; 1 for no cells.

        Both are number[n_cells]: the documents of each cell, earlier snapshots' among them, and those of this run.
        """
        weighed = (documents * sizes.astype(np.float64) ** (self.temperature - 1)).sum()
        return float(documents.sum() / weighed) if len(sizes) else 1.0


class Curve(StrictModel):
    """A domain's curves."""

    frequency: Points = setting(
        ((1.0, 1.0),), "(copies, factor) points, copies ascending from 1; interpolated over log2 of the copies."
    )
    quality: Points = setting(_FLAT, "(quality, factor) points, quality ascending in 0..1.")
    unknown_quality: float = setting(0.5, "Quality of a document that no model has scored.", unit="share", ge=0, le=1)
    language: Points = setting(_FLAT, "(language_score, factor) points, ascending in 0..1; factor 1 where unknown.")
    safety: Points = setting(_FLAT, "(safety, factor) points, ascending in 0..1; factor 1 where unknown.")
    density: Points = setting(_FLAT, "(density, factor) points, ascending in 0..1; factor 1 where unknown.")
    cluster: ClusterBalance = setting(ClusterBalance(), "How cells of different size share a domain's samples.")
    raised: Raised = setting(Raised(), "Hosts whose documents are worth more, or less.")
    floor: float = setting(0.0, "Least weight.", unit="samples", ge=0)
    cap: float = setting(8.0, "Greatest weight; the sampler takes up to 64.", unit="samples", gt=0, le=64)

    @field_validator("frequency", "quality", "language", "safety", "density")
    @classmethod
    def _ascending(cls, points: Points) -> Points:
        at = [p[0] for p in points]
        if not points or any(b <= a for a, b in zip(at[:-1], at[1:], strict=True)):
            raise ValueError("points, with ascending first numbers")
        if not all(math.isfinite(p[0]) and math.isfinite(p[1]) and p[1] >= 0 for p in points):
            raise ValueError("factors that are finite and not negative")
        return points

    @field_validator("frequency")
    @classmethod
    def _counts(cls, points: Points) -> Points:
        if points[0][0] < 1:
            raise ValueError("copies from 1 on, as a document is its own first copy")
        return points

    @field_validator("quality", "language", "safety", "density")
    @classmethod
    def _shares(cls, points: Points, info: ValidationInfo) -> Points:
        if points[0][0] < 0 or points[-1][0] > 1:
            raise ValueError(f"points whose {info.field_name} lies between 0 and 1")
        return points

    @model_validator(mode="after")
    def _floor_below_cap(self) -> Curve:
        if self.floor > self.cap:
            raise Refused("floor", self.floor, f"at most cap, {self.cap}")
        return self

    def weigh(self, frequency: Numbers, quality: Numbers, **others: Numbers) -> npt.NDArray[np.float32]:
        """Weights of documents, float32[n], from their copies (at least 1) and quality (NaN where unknown).

        `others` are `language`, `safety` and `density`, float[n], NaN where unknown, and `raised` and `cluster`, what
        their `factors` say.
        """
        found = _at(self.frequency, frequency, np.log2, 1.0)
        found *= _at(self.quality, np.nan_to_num(quality, nan=self.unknown_quality))
        for name, values in others.items():
            if name in ("raised", "cluster"):
                found *= values
            else:
                found *= np.where(np.isnan(values), 1.0, _at(getattr(self, name), np.nan_to_num(values)))
        return np.clip(found, self.floor, self.cap).astype(np.float32)


def _at(points: Points, values: Numbers, scale: Any = np.asarray, least: float = 0.0) -> npt.NDArray[np.float64]:
    """A curve's value for each number."""
    x, y = (np.array(axis, np.float64) for axis in zip(*points, strict=True))
    return np.interp(scale(np.maximum(values.astype(np.float64), least)), scale(np.maximum(x, least)), y)


class WeightsConfig(StrictModel):
    """Curves by domain."""

    name: str = setting("", "A mixture may ask for these weights by this name, while others lie beside them.")
    default: Curve = setting(Curve(), "The curves of domains that are not named, or the name of one in `conf/scores`.")
    domains: dict[str, Curve] = setting({}, "Domain to its curves, or to the name of some in `conf/scores`.")

    def curve(self, domain: str) -> Curve:
        """The curve in force for a domain."""
        return self.domains.get(domain, self.default)

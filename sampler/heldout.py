"""The documents that no training of a run has seen, for evaluation, and their languages.

They are the run's held-out split or, if it has none, the documents that training holds out by hash. Bins do not store
languages, but the published shards do: `language`, which the pipeline detected, else `lang` of the source record. A
run that is used for evaluation only may be taken whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from sampler.bins.format import AnyBin, TokenBins
from sampler.mixture import Mixture
from sampler.prepare import HOLDOUT, choose_shards, has_heldout
from sampler.published import Shard, list_shards
from sampler.stream.document_index import heldout_rows
from tamis.errors import TamisError
from text.hash import uniform

UNKNOWN = "unknown"
_CHOICE_SALT = 0x6A756467656400


@dataclass(frozen=True, kw_only=True)
class HeldoutDocuments:
    """Some documents of a shard."""

    domain: str  # in the mixture
    shard: AnyBin
    rows: npt.NDArray[np.int64]  # [n], their rows in the bin, ascending
    languages: Sequence[str]  # of each; "unknown" if no published shard has it


@dataclass(frozen=True, kw_only=True)
class JudgedText:
    """Text that models are evaluated on."""

    domains: Sequence[str]  # all that were asked for, including those without documents
    split: str  # "heldout"; "hash", if the run has no such split; or "all"
    documents: Sequence[HeldoutDocuments]  # by domain and shard, in order


def heldout_text(bins: TokenBins, mixture: Mixture, run: Path, most: int = 0) -> JudgedText:
    """The held-out documents of all domains of a mixture, whose weights do not matter; at most `most` a domain (0:
    all), chosen by a hash of their ids. The languages are those of the run's published shards.

    Raises:
        ConfigError: unknown domains, or shards that two domains name.
    """
    chosen = choose_shards(bins, mixture.stretches())
    split = "heldout" if has_heldout(bins) else "hash"
    return _text(chosen, split, published_shards(run), most)


def other_text(bins: TokenBins, trained: TokenBins, run: Path | None, most: int = 0) -> JudgedText:
    """Text of another run (or of bare bins, without a run): its held-out split if it has one, else all of it. If it
    shares a shard with the bins that the models were trained on and has no such split, only documents that training
    holds out by hash.
    """
    seen = {shard.digest for shards in trained.domains.values() for shard in shards}
    shares = any(shard.digest in seen for shards in bins.domains.values() for shard in shards)
    split = "heldout" if has_heldout(bins) else "hash" if shares else "all"
    chosen = {name: list(shards) for name, shards in bins.domains.items()}
    return _text(chosen, split, published_shards(run) if run else {}, most)


def merge_texts(texts: Mapping[str, JudgedText]) -> JudgedText:
    """Several texts as one; if there are several, the name of the text is put before the names of its domains."""
    if len(texts) == 1:
        return next(iter(texts.values()))
    return JudgedText(
        domains=[f"{name}/{domain}" for name, text in texts.items() for domain in text.domains],
        split="+".join(sorted({text.split for text in texts.values()})),
        documents=[
            replace(documents, domain=f"{name}/{documents.domain}")
            for name, text in texts.items()
            for documents in text.documents
        ],
    )


def published_shards(run: Path) -> dict[str, Shard]:
    """A run's published shards by the names of their bins, `<domain>/<shard>`; empty if only bins are left."""
    if not (run / "shards").is_dir():
        return {}
    return {f"{name}/{shard.path.stem}": shard for name, shards in list_shards(run).items() for shard in shards}


def languages_of(published: Mapping[str, Shard], shard: AnyBin, rows: npt.NDArray[np.int64]) -> list[str]:
    """The language of some documents of a bin, by their rows in it; `published` is the result of `published_shards`.

    Raises:
        TamisError: the published shard cannot be read.
    """
    source = published.get(shard.name)
    if source is None or not len(rows):
        return [UNKNOWN] * len(rows)
    try:
        names = pq.read_schema(source.path).names
        known = [name for name in ("lang", "language") if name in names]  # `language` overrides `lang`
        table = pq.read_table(source.path, columns=["doc_id", *known], partitioning=None)
    except (pa.ArrowException, OSError) as error:
        raise TamisError(f"{source.path}: cannot be read as Parquet ({error}).") from error
    if not np.array_equal(table["doc_id"].to_numpy(), shard.index.doc_ids):
        return [UNKNOWN] * len(rows)  # bins of another run, or of an earlier snapshot
    found = [UNKNOWN] * len(rows)
    for name in known:
        given = table[name].take(pa.array(rows)).to_pylist()
        found = [value or before for value, before in zip(given, found, strict=True)]
    return found


def _text(chosen: Mapping[str, Sequence[AnyBin]], split: str, published: Mapping[str, Shard], most: int) -> JudgedText:
    found = []
    for domain, shards in chosen.items():
        held = [_rows(shard, split) for shard in shards]
        for shard, rows in zip(shards, _fewer(shards, held, most), strict=True):
            if len(rows):
                languages = languages_of(published, shard, rows)
                found.append(HeldoutDocuments(domain=domain, shard=shard, rows=rows, languages=languages))
    return JudgedText(domains=sorted(chosen), split=split, documents=found)


def _rows(shard: AnyBin, split: str) -> npt.NDArray[np.int64]:
    if split == "all":
        return np.arange(shard.documents, dtype=np.int64)
    return np.flatnonzero(heldout_rows(shard, HOLDOUT if split == "hash" else 0.0)).astype(np.int64)


def _fewer(shards: Sequence[AnyBin], held: list[npt.NDArray[np.int64]], most: int) -> list[npt.NDArray[np.int64]]:
    """The `most` documents of a domain whose ids have the lowest hashes, by shard; the same for every model."""
    if not most or sum(map(len, held)) <= most:
        return held
    draws = [uniform(_CHOICE_SALT, shard.index.doc_ids[rows]) for shard, rows in zip(shards, held, strict=True)]
    limit = np.partition(np.concatenate(draws), most - 1)[most - 1]
    return [rows[draw <= limit] for rows, draw in zip(held, draws, strict=True)]

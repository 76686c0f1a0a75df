"""A first look without bins: published shards tokenised on the fly, just enough for a few batches.

It shows what a mixture gives before token bins are built. Each domain's shards are read from the beginning, a few
documents at a time, until there are enough tokens; the rest of the domain is not read. So the samples are not those of
the full mixture, and their state cannot be used with it (the manifest differs). Only the first phase of a mixture is
shown, and `max_epochs` is ignored, as the beginning of a domain repeats sooner than the whole domain would.

Cost: encoding the text that is needed, 2-6 MB/s; nothing is written.
"""

from __future__ import annotations

import fnmatch
import glob
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from sampler.bins.build import dtype_of, encode_texts
from sampler.bins.format import AnyBin, MemoryBin, ShardIndex, TokenBins, Tokens
from sampler.mixture import EVERY, DomainShare, Mixture
from sampler.prepare import Prepared, open_stream
from sampler.published import Shard, list_shards, read_rows
from sampler.stream.domain_documents import read_only
from sampler.tokenizer.model import Tokenizer
from sampler.weight_files import Weights, find_weights
from tamis.progress import SILENT, Progress, each

_MARGIN = 1.5
_UNLIMITED = 1e9


def first_look(
    run: Path, mixture: Mixture, tokenizer: Tokenizer, samples: int, progress: Progress = SILENT
) -> Prepared:
    """Open a mixture over as much of a run as `samples` sequences need.

    Raises:
        ConfigError: as `open_stream`. TamisError: the run has no shards, or one cannot be read.
    """
    stretch = mixture.stretches()[0]
    shards, shares = list_shards(run), stretch.domains or {}
    every = EVERY in shares
    if every:
        shares = dict.fromkeys(shards, shares[EVERY])
    weights = replace(find_weights(run, mixture.curve), partial=True)
    wanted = int(samples * (stretch.sequence_length or 0) * _MARGIN) + 1
    domains: dict[str, Sequence[AnyBin]] = {}
    looked: dict[str, DomainShare] = {}
    for name, share in each(progress, "encoding a first look", list(shares.items())):
        chosen = _matching(shards, share.shards or (f"{name}/*",))
        heads = list(_heads(chosen, tokenizer, weights, wanted)) if share.weight else []
        if not heads:
            continue  # unknown, or without a weight: `open_stream` reports it
        domains[name] = heads
        rows = sum(pq.read_metadata(shard.path).num_rows for shard in chosen)
        size = sum(head.tokens for head in heads) * rows / max(1, sum(head.documents for head in heads))
        # "*" weighs a domain by the estimated tokens of the whole domain, not by those that were read.
        names, weight = tuple(glob.escape(head.name) for head in heads), size if every else share.weight
        looked[name] = share.model_copy(update={"max_epochs": _UNLIMITED, "weight": weight, "shards": names})
    bins = TokenBins(
        tokenizer_digest=tokenizer.digest, vocab_size=tokenizer.vocab_size, eos_id=tokenizer.eos_id, domains=domains
    )
    whole = {name: getattr(stretch, name) for name in ("sequence_length", "packing", "temperature")}
    seen = mixture.model_copy(update={**whole, "phases": (), "bins": None, "domains": {**shares, **looked}})
    if every:
        seen = seen.model_copy(update={"domains": looked})
    stream = open_stream(run, bins, seen, weights=weights)
    return Prepared(run=run, mixture=seen, tokenizer=tokenizer, bins=bins, stream=stream)


def _matching(shards: dict[str, list[Shard]], patterns: Sequence[str]) -> list[Shard]:
    return [
        shard
        for items in shards.values()
        for shard in items
        if any(fnmatch.fnmatchcase(f"{shard.domain}/{shard.path.stem}", pattern) for pattern in patterns)
    ]


def _heads(shards: list[Shard], tokenizer: Tokenizer, weights: Weights, wanted: int) -> Iterator[MemoryBin]:
    """The first documents of a domain, until they give `wanted` expected tokens in an epoch."""
    left = float(wanted)
    for shard in shards:
        if left <= 0:
            return
        tokens: list[Tokens] = []
        ids: list[npt.NDArray[np.int64]] = []
        heldout: list[npt.NDArray[np.bool_]] = []
        ends = [0]
        given = weights.read_first(f"{shard.domain}/{shard.path.stem}")
        for rows in read_rows(shard):
            flat, until = encode_texts(tokenizer, rows.texts, dtype_of(tokenizer.vocab_size))
            first = sum(len(part) for part in ids)
            tokens.append(flat)
            ends += (until + ends[-1]).tolist()
            ids.append(rows.doc_ids)
            heldout.append(rows.heldout)
            lengths = np.diff(until, prepend=0) * ~rows.heldout
            left -= float((lengths * given[first : first + len(lengths)]).sum()) if given is not None else lengths.sum()
            if left <= 0:
                break
        if not ids:
            continue
        index = ShardIndex(
            offsets=read_only(np.array(ends, np.int64)),
            doc_ids=read_only(np.concatenate(ids)),
            heldout=read_only(np.concatenate(heldout).astype(np.uint8)),
            checks=np.zeros(0, np.uint64),
        )
        data = read_only(np.concatenate(tokens))
        digest = hashlib.sha256(b"first look" + shard.digest.encode() + data.tobytes()).hexdigest()
        yield MemoryBin(f"{shard.domain}/{shard.path.stem}", index, data, digest)

"""A first look without bins: published shards tokenised on the fly, as far as some batches need.

For whoever wants to see what a mixture gives before compiling a corpus. Each domain's shards are read from their
beginning, a row group at a time, until there are tokens enough; the rest of the domain is not seen, so that the
samples are not those of the compiled mixture, and their state cannot be taken up by it (its manifest is another).

Cost: the text that is encoded, 2-6 MB/s; nothing is written.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from sampler.bins import AnyBin, MemoryBin, ShardIndex, TokenBins
from sampler.build import dtype_of, encode_texts
from sampler.documents import frozen
from sampler.mixture import EVERY, DomainShare, Mixture
from sampler.prepare import Prepared, open_stream
from sampler.progress import Progress, silent
from sampler.shards import Shard, list_shards, read_rows
from sampler.tokenizer import Tokenizer
from sampler.weights import find_weights

_MARGIN = 1.5


def first_look(
    run: Path, mixture: Mixture, tokenizer: Tokenizer, samples: int, progress: Progress = silent
) -> Prepared:
    """Open a mixture over as much of a run as `samples` sequences need.

    Args:
        run: the run folder.
        mixture: the config; of its phases only the first is seen.
        tokenizer: the model.
        samples: how many sequences will be read.
        progress: called as domains are done.

    Raises:
        ConfigError: as `open_stream`. TamisError: the run has no shards, or one cannot be read.
    """
    shards = list_shards(run)
    wanted = int(samples * mixture.sequence_length * _MARGIN) + mixture.sequence_length + 1
    domains: dict[str, Sequence[AnyBin]] = {}
    sizes: dict[str, float] = {}
    for number, (domain, items) in enumerate(shards.items()):
        progress("encoding a first look", number, len(shards))
        heads = list(_heads(items, tokenizer, wanted))
        domains[domain] = heads
        rows = sum(pq.read_metadata(shard.path).num_rows for shard in items)
        sizes[domain] = sum(head.tokens for head in heads) * rows / max(1, sum(head.documents for head in heads))
    progress("encoding a first look", len(shards), len(shards))
    bins = TokenBins(
        tokenizer_digest=tokenizer.digest, vocab_size=tokenizer.vocab_size, eos_id=tokenizer.eos_id, domains=domains
    )
    shares = mixture.stretches()[0].domains or {}
    if EVERY in shares:  # by the tokens that the whole domain would have, not by those of its head
        limit = shares[EVERY].max_epochs
        shares = {name: DomainShare(weight=size, max_epochs=limit) for name, size in sizes.items() if size}
    seen = mixture.model_copy(update={"phases": (), "domains": shares, "bins": None})
    weights = replace(find_weights(run, mixture.curve), partial=True)
    return Prepared(
        run=run, mixture=seen, tokenizer=tokenizer, bins=bins, stream=open_stream(run, bins, seen, weights=weights)
    )


def _heads(shards: list[Shard], tokenizer: Tokenizer, wanted: int) -> Iterator[MemoryBin]:
    """The first documents of a domain, at least so many tokens of them."""
    left = wanted
    for shard in shards:
        if left <= 0:
            return
        tokens, ends, ids, heldout = [], [0], [], []
        for rows in read_rows(shard):
            flat, until = encode_texts(tokenizer, rows.texts, dtype_of(tokenizer.vocab_size))
            tokens.append(flat)
            ends += (until + ends[-1]).tolist()
            ids.append(rows.doc_ids)
            heldout.append(rows.heldout)
            left -= len(flat)
            if left <= 0:
                break
        if not ids:
            continue
        index = ShardIndex(
            offsets=frozen(np.array(ends, np.int64)), doc_ids=frozen(np.concatenate(ids)),
            heldout=frozen(np.concatenate(heldout).astype(np.uint8)), checks=np.zeros(0, np.uint64),
        )  # fmt: skip
        data = frozen(np.concatenate(tokens))
        digest = hashlib.sha256(b"first look" + shard.digest.encode() + data.tobytes()).hexdigest()
        yield MemoryBin(f"{shard.domain}/{shard.path.stem}", index, data, digest)

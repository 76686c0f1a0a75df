"""Which documents a tokenizer is trained on: whole ones, drawn by domain, the same for the same seed.

A domain has a factor; a document of a domain with factor 2 is twice as likely to be drawn as one of a domain with
factor 1, until the whole domain is drawn. The size of the sample is fixed, so all shares follow from one number c:

    share(domain) = min(1, c · factor),  with  Σ bytes · share = sample bytes

It is found by water-filling: domains whose share would exceed 1 are taken whole, and c is computed again for the
others. A document is drawn if `hash(seed, doc_id) < share`, independently of what else is in the run, so a larger
sample contains the smaller one. Documents are drawn and not lines, since a vocabulary should see whole texts.

Cost: one read of the column `text` for the sizes, one read of the shards that are drawn from.

Source: Baichuan 2 technical report, section 2.2: the tokenizer's corpus has more code and papers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sampler.published import Shard, read_rows
from tamis.errors import ConfigError, TamisError
from text.hash import uniform

_SALT = 0x746F6B656E697A65  # makes the sample independent of other draws from the same seed


@dataclass(kw_only=True)
class DomainSample:
    """A domain's part of the sample."""

    factor: float  # likelihood of its documents, relative to other domains
    of_documents: int  # documents of its training split
    of_bytes: int  # their UTF-8 bytes
    share: float = 0.0  # probability of a document, 0 to 1
    documents: int = 0  # drawn so far
    bytes: int = 0  # UTF-8 bytes of those

    def to_json(self) -> dict[str, Any]:
        """The figures by name."""
        return asdict(self)


def plan_sample(
    shards: Mapping[str, Sequence[Shard]], sample_bytes: int, factors: Mapping[str, float]
) -> dict[str, DomainSample]:
    """The share of each domain's documents that is drawn for so many UTF-8 bytes; a smaller corpus is taken whole. A
    factor is of a domain or a glob of domains, 1 by default; 0 leaves a domain out.

    Raises:
        ConfigError: a factor matches no domain, or two globs match the same one.
        TamisError: a shard cannot be read.
    """
    resolved = resolve_factors(factors, list(shards))
    plan = {}
    for domain, items in shards.items():
        sizes = [_training_size(shard) for shard in items]
        documents, size = sum(n for n, _ in sizes), sum(b for _, b in sizes)
        plan[domain] = DomainSample(factor=resolved[domain], of_documents=documents, of_bytes=size)
    shares = fill_shares([d.of_bytes for d in plan.values()], [d.factor for d in plan.values()], sample_bytes)
    for sample, share in zip(plan.values(), shares, strict=True):
        sample.share = share
    return plan


def draw(shards: Mapping[str, Sequence[Shard]], plan: dict[str, DomainSample], seed: int) -> Iterator[str]:
    """Draw the sample planned by `plan_sample`, in the order of domains and ids; the plan counts what is drawn.

    Raises:
        TamisError: a shard cannot be read.
    """
    for domain, items in shards.items():
        sample = plan[domain]
        for shard in items if sample.share > 0 else ():
            for rows in read_rows(shard):
                chosen = (uniform(seed ^ _SALT, rows.doc_ids) < sample.share) & ~rows.heldout
                for row in np.flatnonzero(chosen):
                    text = rows.texts[row]
                    sample.documents += 1
                    sample.bytes += len(text.encode("utf-8"))
                    yield text


def resolve_factors(factors: Mapping[str, float], domains: Sequence[str]) -> dict[str, float]:
    """The factor of every domain: its own, else that of the glob that matches it, else 1.

    Raises:
        ConfigError: a name matches no domain, or two globs match a domain that has no factor of its own.
    """
    found: dict[str, float] = {}
    for name in factors:
        if not any(fnmatchcase(domain, name) for domain in domains):
            raise ConfigError(
                f"tokenizer.domain_factors.{name}: found no domain of the run by that name"
                f"; expected {', '.join(sorted(domains))}, or a glob of them"
            )
    for domain in domains:
        globs = [name for name in factors if fnmatchcase(domain, name)]
        if domain not in factors and len(globs) > 1:
            raise ConfigError(
                f"tokenizer.domain_factors: found {' and '.join(sorted(globs))} for the domain {domain}"
                f"; expected one glob, or the factor of {domain} itself"
            )
        found[domain] = factors[domain] if domain in factors else factors[globs[0]] if globs else 1.0
    return found


def fill_shares(sizes: Sequence[int], factors: Sequence[float], wanted: int) -> list[float]:
    """min(1, c · factor) for the c with which Σ size · share is `wanted`; O(n²) for n domains. Nothing is negative; if
    all domains with a factor above 0 are smaller than wanted together, each of them is taken whole.
    """
    shares = [0.0] * len(sizes)
    open_ones = {i for i in range(len(sizes)) if factors[i] > 0 and sizes[i] > 0}
    left = float(wanted)
    while open_ones:
        c = max(0.0, left) / sum(sizes[i] * factors[i] for i in open_ones)
        full = {i for i in open_ones if c * factors[i] >= 1.0}
        if not full:
            for i in open_ones:
                shares[i] = c * factors[i]
            break
        for i in full:
            shares[i] = 1.0
            left -= sizes[i]
        open_ones -= full
    return shares


def _training_size(shard: Shard) -> tuple[int, int]:
    """Documents and UTF-8 bytes of a shard's training split."""
    try:
        with pq.ParquetFile(shard.path) as file:
            missing = [name for name in ("text", "split") if name not in file.schema_arrow.names]
            if missing:
                raise TamisError(f"{shard.path}: lacks the column {', '.join(missing)}.")
            documents = size = 0
            for batch in file.iter_batches(1024, columns=["text", "split"]):
                training = batch.filter(pc.not_equal(batch.column("split"), "heldout"))
                documents += training.num_rows
                size += pc.sum(pc.binary_length(training.column("text"))).as_py() or 0
            return documents, size
    except (pa.ArrowException, OSError) as error:
        raise TamisError(f"{shard.path}: cannot be read as Parquet ({error}).") from error

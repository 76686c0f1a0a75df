"""The stream: sample i of a mixture, a pure function of (manifest hash, seed, i).

The blend says which domain sample i comes from and which of its sequences it is; the domain's reader finds
that sequence. Nothing else enters: neither ranks nor batch size nor the length of the run, so that any number
of ranks, any restart and any longer run see one and the same order. The other way, an index built for a known
number of samples, changes its beginning when the run gets longer.

The manifest hash names everything that decides the samples: bins, weights, mixture, held-out rule. It is the
same wherever the run folder lies.

Cost: opening O(documents); a sample its copy and, now and then, a block's permutation.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from corpus.errors import ConfigError, TamisError
from corpus.files import canonical_json
from sampler.blend import Blend
from sampler.domain import DomainDocuments, DomainReader, choose_documents
from sampler.mixture import DomainShare, Mixture, resolve_shares
from sampler.packing import Packed
from sampler.shards import read_weights
from sampler.tokens import DomainBin, TokenBins
from text.hash import uniform

FORMAT = 1
_HOLDOUT_SALT = 0x686F6C646F757400


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Rows of a global batch.

    Attributes:
        tokens: uint32[rows, sequence_length].
        labels: uint32[rows, sequence_length], the following tokens.
        positions: int32[rows, sequence_length], within a document's piece.
        segments: int32[rows, sequence_length], index of the piece within its row.
        sequences: the rows with their cu_seqlens, doc_ids and domains.
    """

    tokens: npt.NDArray[np.uint32]
    labels: npt.NDArray[np.uint32]
    positions: npt.NDArray[np.int32]
    segments: npt.NDArray[np.int32]
    sequences: list[Packed]


class MixtureStream:
    """Random access to the samples of a mixture. Cheap to `fork`; not to be shared between threads."""

    def __init__(
        self,
        mixture: Mixture,
        shares: dict[str, DomainShare],
        documents: dict[str, DomainDocuments],
        manifest: str,
    ) -> None:
        self.mixture = mixture
        self.shares = shares
        self.manifest = manifest
        self.domains = list(shares)
        self.blend = Blend([share.weight for share in shares.values()])
        self.readers = [DomainReader(documents[name]) for name in self.domains]

    def fork(self) -> MixtureStream:
        """The same stream with caches of its own, for another rank or thread."""
        documents = {name: reader.documents for name, reader in zip(self.domains, self.readers, strict=True)}
        return MixtureStream(self.mixture, self.shares, documents, self.manifest)

    def sample(self, index: int) -> Packed:
        """Sample number `index`."""
        return self.samples(index, index + 1)[0]

    def samples(self, start: int, stop: int) -> list[Packed]:
        """Samples start…stop-1."""
        domains, ordinals = self.blend.choices(start, stop)
        length = self.mixture.sequence_length
        return [
            self.readers[domain].sequence(int(ordinal), length)
            for domain, ordinal in zip(domains, ordinals, strict=True)
        ]

    def batch(self, start: int, stop: int) -> Batch:
        """Samples start…stop-1 as arrays."""
        rows = self.samples(start, stop)
        return Batch(
            tokens=np.stack([row.tokens for row in rows]),
            labels=np.stack([row.labels for row in rows]),
            positions=np.stack([row.positions for row in rows]),
            segments=np.stack([row.segments for row in rows]),
            sequences=rows,
        )

    def epochs_needed(self, samples: int) -> dict[str, float]:
        """Epochs of each domain that the first `samples` samples take."""
        counts = self.blend.counts(samples) * self.mixture.sequence_length
        return {
            name: reader.epochs_at(int(count))
            for name, reader, count in zip(self.domains, self.readers, counts, strict=True)
        }

    def require(self, samples: int) -> None:
        """Refuse a run that would repeat a domain more often than the mixture allows.

        Raises:
            ConfigError: with the epochs needed and the limit.
        """
        for name, needed in self.epochs_needed(samples).items():
            limit = self.shares[name].max_epochs
            if needed > limit:
                raise ConfigError(
                    f"key `domains.{name}.max_epochs` is {limit:g}, but {samples:,} sequences of "
                    f"{self.mixture.sequence_length} tokens need {needed:.2f} epochs of it "
                    f"(allowed: at most {limit:g}; take fewer steps, lower its weight, or allow more epochs)."
                )


class RankStream:
    """What one rank of a data-parallel job reads: its slice of every global batch.

    Args:
        stream: any fork of the stream.
        rank: this rank.
        world_size: number of ranks.
        global_batch: sequences a step, over all ranks.

    Raises:
        ConfigError: the world size does not divide the batch, or the rank is outside the world.
    """

    def __init__(self, stream: MixtureStream, rank: int, world_size: int, global_batch: int) -> None:
        if global_batch < 1 or world_size < 1 or global_batch % world_size:
            raise ConfigError(
                f"key `world_size` is {world_size} and `global_batch` {global_batch} "
                f"(allowed: a world size that divides the global batch)."
            )
        if not 0 <= rank < world_size:
            raise ConfigError(f"key `rank` is {rank} (allowed: 0 to {world_size - 1}).")
        self.stream = stream
        self.rank = rank
        self.rows = global_batch // world_size
        self.global_batch = global_batch

    def batch(self, step: int) -> Batch:
        """This rank's rows of a step."""
        start = step * self.global_batch + self.rank * self.rows
        return self.stream.batch(start, start + self.rows)


def open_stream(run: Path, bins: TokenBins, mixture: Mixture, holdout: float = 0.0) -> MixtureStream:
    """Open a mixture over a run's bins.

    Args:
        run: the run folder, for its weights.
        bins: its token bins.
        mixture: the config; a held-out split takes no weights, every document once an epoch.
        holdout: where the run has no held-out split, the share of documents, chosen by hash, to treat as one.

    Raises:
        ConfigError: unknown or empty domains.
        TamisError: weights that do not fit the bins.
    """
    documents: dict[str, DomainDocuments] = {}
    weight_digests: dict[str, str] = {}
    for name, source in bins.domains.items():
        weights = np.ones(len(source.doc_ids), np.float32)
        if mixture.split == "train":
            weights = read_weights(run, name, source.doc_ids)
        heldout = _heldout(source, holdout)
        chosen = heldout if mixture.split == "heldout" else ~heldout
        try:
            documents[name] = choose_documents(source, chosen, weights, mixture.seed, mixture.shuffle_block_tokens)
        except ValueError as error:
            raise TamisError(f"{run / 'weights'}: domain {name}: {error}.") from error
        weight_digests[name] = hashlib.sha256(weights.tobytes()).hexdigest()
    shares = resolve_shares(mixture, {name: has.tokens_per_epoch for name, has in documents.items()})
    identity = {
        "format": FORMAT,
        "tokenizer": bins.tokenizer_digest,
        "bins": {name: bins.domains[name].digest for name in shares},
        "weights": {name: weight_digests[name] for name in shares},
        "shares": {name: share.weight for name, share in shares.items()},
        "mixture": mixture.model_dump(include={"sequence_length", "seed", "packing", "split", "shuffle_block_tokens"}),
        "holdout": holdout,
    }
    return MixtureStream(mixture, shares, documents, hashlib.sha256(canonical_json(identity)).hexdigest())


def has_heldout(bins: TokenBins) -> bool:
    """Whether the run assigned any document to a held-out split."""
    return any(source.heldout.any() for source in bins.domains.values())


def domains_of(rows: list[Packed]) -> Counter[str]:
    """How many of some sequences each domain gave."""
    return Counter(row.domain for row in rows)


def _heldout(source: DomainBin, holdout: float) -> npt.NDArray[np.bool_]:
    if not holdout:
        return source.heldout
    return source.heldout | (uniform(_HOLDOUT_SALT, source.doc_ids) < holdout)

"""From a mixture to an open stream: tokenizer, bins and indexes are made if they are missing, reused if not."""

from __future__ import annotations

import fnmatch
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from corpus.files import canonical_json
from sampler.bins.build import build_bins
from sampler.bins.format import AnyBin, TokenBins
from sampler.bins.manifests import open_bins, tokenizer_of
from sampler.mixture import EVERY, BoostConfig, DomainShare, Mixture, PhaseConfig, resolve_shares
from sampler.published import list_shards
from sampler.stream.document_index import Boost, heldout_rows, open_documents, read_doc_ids
from sampler.stream.mixture_stream import MixtureStream
from sampler.stream.phases import lay_phases
from sampler.tokenizer.model import Tokenizer, tokenizer_for
from sampler.weight_files import Weights, find_weights
from tamis.errors import ConfigError
from tamis.progress import SILENT, Progress, step

FORMAT = 3
HOLDOUT = 0.02  # share of documents held out by hash if the pipeline held out none


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A run that is ready to be streamed."""

    run: Path
    mixture: Mixture
    tokenizer: Tokenizer
    bins: TokenBins
    stream: MixtureStream


def prepare(run: Path, mixture: Mixture, progress: Progress = SILENT) -> Prepared:
    """Make or find the tokenizer and the bins, and open the stream.

    Raises:
        ConfigError: the mixture and the run do not fit.
        TamisError: the run has no shards, or a file is corrupt.
    """
    tokenizer, bins = open_tokens(run, mixture, progress)
    with step(progress, "opening the stream"):
        stream = open_stream(run, bins, mixture)
    return Prepared(run=run, mixture=mixture, tokenizer=tokenizer, bins=bins, stream=stream)


def open_tokens(run: Path, mixture: Mixture, progress: Progress = SILENT) -> tuple[Tokenizer, TokenBins]:
    """The bins that a mixture names, or the run's own, built if they are missing."""
    tokenizer = tokenizer_for_mixture(run, mixture, progress)
    return tokenizer, open_bins(mixture.bins) if mixture.bins else bins_for(run, tokenizer, progress)


def tokenizer_for_mixture(run: Path, mixture: Mixture, progress: Progress = SILENT) -> Tokenizer:
    """The tokenizer of the bins that a mixture names, or the run's own, trained if it is missing."""
    if mixture.bins is not None:
        return tokenizer_of(mixture.bins)
    return tokenizer_for(run, list_shards(run), mixture.tokenizer, mixture.seed, progress)


def bins_for(run: Path, tokenizer: Tokenizer, progress: Progress = SILENT) -> TokenBins:
    """The run's own bins for a tokenizer, `RUN/tokens/<digest>`; shards that are missing are built."""
    return build_bins(run, tokenizer, str(run / "tokens" / tokenizer.digest[:16]), progress)


def open_stream(
    run: Path, bins: TokenBins, mixture: Mixture, holdout: float = 0.0, weights: Weights | None = None
) -> MixtureStream:
    """Open a mixture over token bins. A held-out split takes no weights, every document once an epoch; if the run has
    none, the share `holdout` of the documents, chosen by hash, forms it. `weights` replace those that the mixture's
    `curve` names.

    Raises:
        ConfigError: unknown or empty domains, a shard in two domains, an unknown curve.
        TamisError: weights that do not fit the bins.
    """
    stretches = mixture.stretches()
    chosen = choose_shards(bins, stretches)
    weights = find_weights(run, mixture.curve) if weights is None else weights
    cache = Path(bins.cache) if bins.cache else None
    boosts = _boosts(mixture.boosts, chosen)
    documents = {
        name: open_documents(
            name,
            shards,
            weights=weights,
            seed=mixture.seed,
            block_tokens=mixture.shuffle_block_tokens,
            split=mixture.split,
            holdout=holdout,
            # those of its shards alone, so that other boosts do not change its index
            boosts=[boost for boost in boosts if boost.shards & {shard.name for shard in shards}],
            cache=cache,
        )
        for name, shards in chosen.items()
    }
    tokens = {name: has.tokens_per_epoch for name, has in documents.items()}

    def shares_of(stretch: PhaseConfig) -> dict[str, DomainShare]:
        return resolve_shares(stretch.domains or {}, tokens, stretch.temperature or 1.0, mixture.split)

    identity = {
        "format": FORMAT,
        "tokenizer": bins.tokenizer_digest,
        "holdout": holdout,
        **mixture.model_dump(include={"seed", "split", "shuffle_block_tokens"}),
    }
    base = hashlib.sha256(canonical_json(identity)).hexdigest()
    return MixtureStream(mixture, lay_phases(stretches, shares_of, documents, base, cache), bins.eos_id)


def choose_shards(bins: TokenBins, stretches: Sequence[PhaseConfig]) -> dict[str, list[AnyBin]]:
    """The shards of every domain that any phase names.

    Raises:
        ConfigError: a glob matches nothing, a shard is in two domains, or a domain has other shards in another phase.
    """
    known = {shard.name: shard for shards in bins.domains.values() for shard in shards}
    found: dict[str, list[AnyBin]] = {}
    globs: dict[str, tuple[str, ...]] = {}
    for stretch in stretches:
        for name, share in (stretch.domains or {}).items():
            if name == EVERY:
                for domain in bins.domains:
                    _take(found, globs, known, domain, share)
                continue
            if not share.shards and name not in bins.domains:
                raise ConfigError(
                    f"domains.{name}: found a domain that the run does not have"
                    f"; expected {', '.join(sorted(bins.domains))}; or give it `shards`"
                )
            _take(found, globs, known, name, share)
    owners: dict[str, str] = {}
    for name, shards in found.items():
        for shard in shards:
            if owners.setdefault(shard.name, name) != name:
                raise ConfigError(
                    f"domains.{name}.shards: found {shard.name}, which domain {owners[shard.name]} has too"
                    f"; expected a shard in one domain"
                )
    return {name: found[name] for name in sorted(found)}


def _take(
    found: dict[str, list[AnyBin]],
    globs: dict[str, tuple[str, ...]],
    known: dict[str, AnyBin],
    name: str,
    share: DomainShare,
) -> None:
    """Add a domain's shards, or check that they are the same as in an earlier phase."""
    patterns = share.shards or (f"{name}/*",)
    if globs.setdefault(name, patterns) != patterns:
        raise ConfigError(
            f"phases.domains.{name}.shards: found {list(patterns)}; expected the same in every phase, "
            f"{list(globs[name])}; a domain of other shards needs another name"
        )
    if name not in found:
        found[name] = _matching(known, name, patterns)


def _matching(known: dict[str, AnyBin], name: str, patterns: Sequence[str]) -> list[AnyBin]:
    chosen = []
    for pattern in patterns:
        matched = [shard for shard in known if fnmatch.fnmatchcase(shard, pattern)]
        if not matched:
            raise ConfigError(
                f"domains.{name}.shards: found {pattern!r}, which matches no shard; expected globs over "
                f"<domain>/<shard>, such as {next(iter(known), 'web/0000')!r}"
            )
        chosen += matched
    return [known[shard] for shard in sorted(set(chosen))]


def _boosts(configs: Sequence[BoostConfig], chosen: dict[str, list[AnyBin]]) -> list[Boost]:
    """The boosts, with their shards and documents resolved.

    Raises:
        ConfigError: a boost matches no shard or no document of the mixture.
    """
    found = []
    shards = [shard for items in chosen.values() for shard in items]
    for number, config in enumerate(configs):
        touched = [s for s in shards if any(fnmatch.fnmatchcase(s.name, pattern) for pattern in config.shards)]
        if not touched:
            raise ConfigError(
                f"boosts.{number}.shards: found {list(config.shards)}, which matches no shard of the mixture"
                f"; expected globs over <domain>/<shard>"
            )
        names = None if config.documents is None else read_doc_ids(Path(config.documents), f"boosts.{number}.documents")
        if names is not None and not any(np.isin(names, shard.index.doc_ids).any() for shard in touched):
            raise ConfigError(
                f"boosts.{number}.documents: found {config.documents}, none of whose {len(names)} doc_ids is in the "
                f"boost's shards; expected ids of their documents"
            )
        found.append(Boost(config.factor, frozenset(shard.name for shard in touched), names))
    return found


def split_streams(prepared: Prepared) -> tuple[MixtureStream, MixtureStream, bool]:
    """The training and the held-out stream, which share no document.

    Returns:
        The training stream; the held-out stream, over those of the same domains that have held-out documents;
        whether documents were held out by hash, because the run has no held-out split.

    Raises:
        ConfigError: no document is held out.
    """
    run, bins, mixture = prepared.run, prepared.bins, prepared.mixture
    chosen_here = not has_heldout(bins)
    holdout = HOLDOUT if chosen_here else 0.0
    train = open_stream(run, bins, mixture.model_copy(update={"split": "train"}), holdout)
    first = train.phases[0].shares
    length = mixture.stretches()[0].sequence_length
    every = mixture.model_copy(
        update={"split": "heldout", "phases": (), "domains": mixture.stretches()[0].domains, "sequence_length": length}
    )
    held = choose_shards(bins, every.stretches())
    shares = {
        name: share
        for name, share in first.items()
        if any(heldout_rows(shard, holdout).any() for shard in held.get(name, ()))
    }
    if not shares:
        raise ConfigError(
            "split: found no held-out document of the mixture's domains; expected a run that holds some out"
        )
    heldout = open_stream(run, bins, every.model_copy(update={"domains": shares, "temperature": 1.0}), holdout)
    return train, heldout, chosen_here


def has_heldout(bins: TokenBins) -> bool:
    """Whether the run assigned any document to a held-out split."""
    return any(shard.index.heldout.any() for shards in bins.domains.values() for shard in shards)

"""From a mixture to an open stream: tokenizer and bins are made where missing, reused where not."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sampler.mixture import Mixture
from sampler.progress import Progress, silent
from sampler.shards import list_shards
from sampler.stream import MixtureStream, has_heldout, open_stream
from sampler.tokenizer import Tokenizer, tokenizer_for
from sampler.tokens import TokenBins, bins_for

HOLDOUT = 0.02  # share of documents held out by hash where the pipeline held out none


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A run that is ready to be streamed."""

    run: Path
    mixture: Mixture
    tokenizer: Tokenizer
    bins: TokenBins
    stream: MixtureStream


def prepare(run: Path, mixture: Mixture, progress: Progress = silent) -> Prepared:
    """Make or find the tokenizer and the bins, and open the stream.

    Args:
        run: the run folder.
        mixture: the config.
        progress: called while it works.

    Raises:
        ConfigError: the mixture and the run do not fit.
        TamisError: the run has no shards, or a file is corrupt.
    """
    shards = list_shards(run)
    tokenizer = tokenizer_for(run, shards, mixture.tokenizer, mixture.seed, progress)
    bins = bins_for(run, shards, tokenizer, progress)
    return Prepared(run=run, mixture=mixture, tokenizer=tokenizer, bins=bins, stream=open_stream(run, bins, mixture))


def split_streams(prepared: Prepared) -> tuple[MixtureStream, MixtureStream, bool]:
    """The training and the held-out stream, which share no document.

    Returns:
        Training stream; held-out stream over the same domains, so far as they have held-out documents;
        whether the held-out split had to be chosen here, because the run has none.

    Raises:
        ConfigError: no document is held out even so.
    """
    run, bins, mixture = prepared.run, prepared.bins, prepared.mixture
    chosen_here = not has_heldout(bins)
    holdout = HOLDOUT if chosen_here else 0.0
    train = open_stream(run, bins, mixture.model_copy(update={"split": "train"}), holdout)
    every = mixture.model_copy(update={"split": "heldout", "domains": {"*": next(iter(train.shares.values()))}})
    sized = open_stream(run, bins, every, holdout)
    shares = {name: share for name, share in train.shares.items() if name in sized.shares}
    if not shares:
        return train, sized, chosen_here
    heldout = open_stream(run, bins, every.model_copy(update={"domains": shares}), holdout)
    return train, heldout, chosen_here

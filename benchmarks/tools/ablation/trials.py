"""Trainings that can be compared: the same tokenizer, reference text, model and number of tokens.

Every training takes an equal part of its tokens from each language; otherwise an arm with less text of one language
would be judged by having trained more on the other. The batches are the sampler's, the loop is the trainer's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.corpora.base_text import LANGUAGES
from benchmarks.tools.ablation.spread import Losses
from corpus.config import load_config
from sampler.bins.format import TokenBins
from sampler.mixture import DomainShare, Mixture
from sampler.prepare import Prepared, bins_for, open_stream
from sampler.published import list_shards
from sampler.stream.mixture_stream import MixtureStream
from sampler.tokenizer.model import Tokenizer, tokenizer_for
from sampler.tokenizer.training import TokenizerConfig
from sampler.weight_files import Weights, find_weights
from tamis.places import ROOT
from tamis.progress import Progress
from trainer.config import TrainConfig
from trainer.evaluation.loss import mean_loss, whole_epoch
from trainer.evaluation.unigram import unigram_loss
from trainer.loop import take_steps
from trainer.setup import TrainingRun, assemble

CONF = ROOT / "conf"
TOKENIZER = TokenizerConfig(vocab_size=4096, character_coverage=0.995)
"""A small vocabulary for a small corpus, as nearly half of a step goes into its logits. Rare characters are bytes."""
REPEATED_TOKENS = 5
"""The length of the runs of tokens whose repeats are counted."""
MOST_EPOCHS = 64.0
"""A limit that no arm should reach, as the arms differ in how often text repeats."""


@dataclass(frozen=True)
class Trials:
    """What all trainings share.

    Attributes:
        tokenizer: trained on the raw crawl, of which every arm's text is a part.
        reference: the folder of the reference text.
        reference_bins: the reference text in tokens.
        reference_bytes: UTF-8 bytes of the reference text by language.
        config: model, optimizer and length; each training has its own name and seed.
        mixture: the languages in equal parts; each training has its own seed.
    """

    tokenizer: Tokenizer
    reference: Path
    reference_bins: TokenBins
    reference_bytes: Mapping[str, int]
    config: TrainConfig
    mixture: Mixture

    @property
    def tokens(self) -> int:
        """The tokens of a training."""
        return self.config.steps * self.config.global_batch * self.mixture.sequence_length

    def bins(self, run: Path) -> TokenBins:
        """The text of a run in tokens of the shared tokenizer."""
        return bins_for(run, self.tokenizer)

    def references(self) -> dict[str, MixtureStream]:
        """The reference text, a stream a language."""
        alone = {
            lang: self.mixture.model_copy(update={"domains": {lang: DomainShare()}}) for lang in self.mixture.domains
        }
        return {lang: open_stream(self.reference, self.reference_bins, mixture) for lang, mixture in alone.items()}


@dataclass(frozen=True, slots=True)
class Point:
    """A model during its training.

    Attributes:
        tokens: seen so far.
        losses: on the reference text.
    """

    tokens: int
    losses: Losses


def prepare_trials(
    raw: Path, reference: Path, config: TrainConfig, progress: Progress, languages: Sequence[str] = LANGUAGES
) -> Trials:
    """Trains the tokenizer and opens the reference text.

    Args:
        raw: the run folder that the tokenizer is trained on.
        reference: a folder with `shards/<language>/*.parquet`.
        config: model, optimizer and length.
        progress: where it reports to.
        languages: the domains of every arm.
    """
    domains = {lang: DomainShare(max_epochs=MOST_EPOCHS) for lang in languages}
    mixture = load_config(Mixture, CONF / "mixtures" / "default.yaml")
    mixture = mixture.model_copy(update={"domains": domains, "tokenizer": TOKENIZER})
    tokenizer = tokenizer_for(raw, list_shards(raw), TOKENIZER, mixture.seed, progress)
    texts = {
        lang: [pq.read_table(s.path, columns=["text"], partitioning=None)["text"] for s in shards]
        for lang, shards in list_shards(reference).items()
    }
    return Trials(
        tokenizer,
        reference,
        bins_for(reference, tokenizer, progress),
        {lang: sum(len(t.as_py().encode()) for column in columns for t in column) for lang, columns in texts.items()},
        config.model_copy(update={"heldout_steps": config.steps}),
        mixture,
    )


def tiny_model(steps: int) -> TrainConfig:
    """The model of `conf/models/tiny.yaml`, to be trained for so many steps."""
    return load_config(TrainConfig, CONF / "models" / "tiny.yaml").model_copy(update={"steps": steps})


def train(
    trials: Trials,
    run: Path,
    seed: int,
    progress: Progress,
    *,
    name: str = "",
    weights: Weights | None = None,
    every: int = 0,
) -> list[Point]:
    """Trains once on a run; the seed is that of the initial weights and of the order of the data.

    Args:
        trials: what all trainings share.
        run: a folder with `shards/<language>/*.parquet`.
        seed: of this training.
        progress: where it reports to.
        name: of its folder in `run/train`.
        weights: of the documents; by default the run's own.
        every: steps between two measurements on the reference; 0 measures at the end only.

    Returns:
        The losses on the reference, those of the finished model last.
    """
    mixture, bins = trials.mixture.model_copy(update={"seed": seed}), trials.bins(run)
    stream, references = open_stream(run, bins, mixture, weights=weights), trials.references()
    prepared = Prepared(run=run, mixture=mixture, tokenizer=trials.tokenizer, bins=bins, stream=stream)
    config = trials.config.model_copy(update={"name": name or f"seed-{seed}", "seed": seed})
    state = assemble(config, prepared, stream, open_stream(trials.reference, trials.reference_bins, mixture))
    points: list[Point] = []

    def look(row: dict[str, Any]) -> None:
        if "event" in row:  # a message, or a step that was skipped
            return
        done = row["step"] + 1
        progress.update(done)
        if done == config.steps or (every and done % every == 0):
            points.append(Point(row["tokens"], judge(trials, state, references)))

    try:
        progress.start("training", config.steps)
        take_steps(state, config.steps, look)
        progress.finish()
        state.checkpoints.wait()
    finally:
        state.metrics.close()
    return points


def judge(trials: Trials, state: TrainingRun, references: Mapping[str, MixtureStream]) -> Losses:
    """A model's losses on the reference, by language.

    The first token of a document is not predicted; it is counted with the mean loss.
    """
    found = {}
    for lang, reference in references.items():
        tokens = trials.reference_bins.tokens[lang]
        samples = whole_epoch(reference, tokens // trials.mixture.sequence_length)
        nats = mean_loss(state.model, reference, samples, state.config.global_batch, trials.tokenizer.eos_id)
        found[lang] = {"nats": nats, "bits": nats * tokens / trials.reference_bytes[lang] / math.log(2)}
    return found


def text_of(trials: Trials, run: Path, weights: Weights | None = None) -> dict[str, dict[str, float]]:
    """The text of an arm by language: documents, tokens, epochs of a training, share of junk among the tokens drawn.

    An epoch draws each document as often as its weight says.
    """
    trained = trials.tokens / len(trials.mixture.domains)
    found = {}
    weights = find_weights(run) if weights is None else weights
    for lang, bins in trials.bins(run).domains.items():
        lengths = np.concatenate([np.diff(shard.index.offsets) for shard in bins])
        shards = [pq.read_table(s.path, columns=["source"], partitioning=None) for s in list_shards(run)[lang]]
        junk = np.array(pa.concat_tables(shards)["source"].to_pylist()) == "junk"
        drawn = lengths * np.concatenate([weights.read(shard.name, shard.index.doc_ids) for shard in bins])
        found[lang] = {
            "documents": len(lengths),
            "tokens": int(lengths.sum()),
            "epochs": trained / float(drawn.sum()),
            "junk": float(drawn[junk].sum() / drawn.sum()),
        }
    return found


def unigram_losses(trials: Trials, run: Path, weights: Weights) -> dict[str, float]:
    """For each language the loss of a unigram model of the tokens drawn, in nats a token.

    It needs neither seed nor optimizer, and tells only how near an arm's choice of words is to the reference.
    """
    found = {}
    for lang, bins in trials.bins(run).domains.items():
        counts, held = (np.zeros(trials.tokenizer.vocab_size) for _ in range(2))
        for shard in bins:
            drawn = np.repeat(weights.read(shard.name, shard.index.doc_ids), np.diff(shard.index.offsets))
            counts += np.bincount(shard.read(0, shard.tokens), drawn, len(counts))
        for shard in trials.reference_bins.domains[lang]:
            held += np.bincount(shard.read(0, shard.tokens), minlength=len(held))
        found[lang] = unigram_loss(np.rint(counts).astype(np.int64), held.astype(np.int64))
    return found


def text_cells(text: Mapping[str, Mapping[str, float]]) -> list[str]:
    """An arm's cells in a table: documents, and by language tokens, epochs, junk."""
    texts = list(text.values())
    cells = [f"{sum(t['documents'] for t in texts):,}", *(f"{t['tokens']:,}" for t in texts)]
    return cells + [*(f"{t['epochs']:.2f}" for t in texts), *(f"{100 * t['junk']:.1f} %" for t in texts)]


def repeated_share(bins: TokenBins) -> dict[str, float]:
    """For each language, the share of runs of five tokens that have occurred earlier in the text: 0 to 1."""
    found = {}
    for lang, shards in bins.domains.items():
        tokens = np.concatenate([shard.read(0, shard.tokens) for shard in shards]).astype(np.uint64)
        grams = np.zeros(max(0, len(tokens) - REPEATED_TOKENS + 1), np.uint64)
        for place in range(REPEATED_TOKENS):  # ids below 4,096 fit five times into 64 bits
            grams = grams * np.uint64(bins.vocab_size) + tokens[place : place + len(grams)]
        found[lang] = 1 - len(np.unique(grams)) / len(grams) if len(grams) else 0.0
    return found

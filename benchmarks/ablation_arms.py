"""The arms of the ablation: what a pipeline does to one crawl, and what a small model makes of the result.

Each arm is a pipeline YAML made of ``conf/pipelines/default.yaml``'s own stages and thresholds; an arm names the stages
that it adds to the arm before. All start from one ingest; the last one starts from the whole run before it, so that
nothing but its weights is made. The model is ``conf/models/tiny.yaml``'s, the batches are the sampler's, the loop is
the trainer's. Both languages have half the tokens in every arm, or else an arm that removes more of one would be
judged on having trained on the other. ``pii`` is left out: it is neither dedup nor a filter.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from benchmarks.base_text import LANGUAGES, ROOT
from corpus.config import load_config, load_yaml
from pipelines.config import load_pipeline
from pipelines.runner import Runner
from pipelines.session import Cluster
from sampler.bins import TokenBins
from sampler.mixture import DomainShare, Mixture
from sampler.prepare import Prepared, bins_for, open_stream
from sampler.progress import Progress
from sampler.shards import list_shards
from sampler.stream import MixtureStream
from sampler.tokenizer import Tokenizer, TokenizerConfig, tokenizer_for
from sampler.weights import find_weights
from trainer.config import TrainConfig
from trainer.evaluate import mean_loss, whole_epoch
from trainer.loop import take_steps
from trainer.setup import assemble

CONF = ROOT / "conf"
TOKENIZER = TokenizerConfig(vocab_size=4096, character_coverage=0.995)
"""Small as the corpus is: nearly half of a step goes into the vocabulary's logits. Rare characters are bytes."""
MOST_EPOCHS = 64.0
"""A limit that no arm should meet: how often text repeats is what the arms differ in."""


@dataclass(frozen=True, slots=True)
class Arm:
    """One way to make training text of the crawl.

    Attributes:
        name: of the run folder.
        adds: stages that the arm before has not.
        scored: whether documents have the default pipeline's weights; all weigh 1 otherwise.
    """

    name: str
    adds: tuple[str, ...] = ()
    scored: bool = False


ARMS = (
    Arm("none"),
    Arm("document", ("exact_dedup", "embed", "semantic_clusters", "near_dedup")),
    Arm("multi-level", ("span_dedup",)),
    Arm("filtered", ("language", "line_filter", "heuristic_filter", "sentence_quality", "score")),
    Arm("scored", (), scored=True),
)
"""In order: each has the stages of all before it."""


def pipeline_of(arm: Arm) -> dict[str, Any]:
    """The arm's pipeline YAML, with inputs beside it: the default's stages, in its order, with its settings."""
    default = load_yaml(CONF / "pipelines" / "default.yaml")
    stages = {stage for earlier in ARMS[: ARMS.index(arm) + 1] for stage in earlier.adds}
    return {
        "name": f"ablation_{arm.name}",
        "inputs": [{"domain": lang, "paths": [f"corpus/input/{lang}.parquet"]} for lang in LANGUAGES],
        "stages": {name: block for name, block in default["stages"].items() if name in stages},
        "write_shards": {"heldout_fraction": 0.0},
        "weights": default["weights"] if arm.scored else {},
    }


def run_pipeline(arm: Arm, work: Path, cluster: Cluster) -> Path:
    """Runs the arm's pipeline over ``work/corpus`` into ``work/<arm>``; returns that folder.

    Raises:
        SystemExit: a scored arm's shards are not those of the arm before.
    """
    path, out, before = work / f"{arm.name}.yaml", work / arm.name, ARMS[max(0, ARMS.index(arm) - 1)]
    path.write_text(yaml.safe_dump(pipeline_of(arm), allow_unicode=True, sort_keys=False), "utf-8")
    if not arm.adds and arm != before:
        shutil.copytree(work / before.name, out)
    elif arm != ARMS[0]:
        shutil.copytree(work / ARMS[0].name / "ingest", out / "ingest")
    Runner(load_pipeline(path), out, cluster, work).run()
    if arm.scored and _digests(out) != _digests(work / before.name):
        raise SystemExit(f"{out}: its shards are not those of {before.name}, though only weights were to differ")
    return out


def _digests(run: Path) -> list[str]:
    return [shard.digest for shards in list_shards(run).values() for shard in shards]


@dataclass(frozen=True)
class Trials:
    """What all trainings share: text to judge on, tokenizer, model, length.

    Attributes:
        tokenizer: trained on the raw crawl, of which every arm's text is a part.
        reference: the folder of the reference text.
        reference_bins: it under the tokenizer.
        reference_bytes: its UTF-8 bytes by language.
        config: model, optimizer and length; name and seed are a training's own.
        mixture: the languages in equal parts; the seed is a training's own.
    """

    tokenizer: Tokenizer
    reference: Path
    reference_bins: TokenBins
    reference_bytes: Mapping[str, int]
    config: TrainConfig
    mixture: Mixture

    def bins(self, run: Path) -> TokenBins:
        """A run's text under the tokenizer that all share."""
        return bins_for(run, self.tokenizer)

    def references(self) -> dict[str, MixtureStream]:
        """The reference text, a stream a language."""
        alone = {lang: self.mixture.model_copy(update={"domains": {lang: DomainShare()}}) for lang in LANGUAGES}
        return {lang: open_stream(self.reference, self.reference_bins, mixture) for lang, mixture in alone.items()}


def prepare_trials(work: Path, steps: int, progress: Progress) -> Trials:
    """Trains the tokenizer and opens the reference text."""
    domains = {lang: DomainShare(max_epochs=MOST_EPOCHS) for lang in LANGUAGES}
    mixture = load_config(Mixture, CONF / "mixtures" / "default.yaml")
    mixture = mixture.model_copy(update={"domains": domains, "tokenizer": TOKENIZER})
    config = load_config(TrainConfig, CONF / "models" / "tiny.yaml")
    raw, reference = work / ARMS[0].name, work / "corpus" / "reference"
    tokenizer = tokenizer_for(raw, list_shards(raw), TOKENIZER, mixture.seed, progress)
    texts = {lang: [pq.read_table(s.path, columns=["text"], partitioning=None)["text"] for s in shards]
             for lang, shards in list_shards(reference).items()}  # fmt: skip
    return Trials(
        tokenizer,
        reference,
        bins_for(reference, tokenizer, progress),
        {lang: sum(len(t.as_py().encode()) for column in columns for t in column) for lang, columns in texts.items()},
        config.model_copy(update={"steps": steps, "heldout_steps": steps}),
        mixture,
    )


def train(trials: Trials, run: Path, seed: int, progress: Progress) -> dict[str, dict[str, float]]:
    """Trains once on a run; the seed is that of the initial weights and of the order of the data.

    Returns:
        For each language the loss on the reference: ``nats`` a token, ``bits`` a byte. The first token of a document is
        not predicted; its bits are taken to be the mean's.
    """
    mixture, bins = trials.mixture.model_copy(update={"seed": seed}), trials.bins(run)
    stream, references = open_stream(run, bins, mixture), trials.references()
    prepared = Prepared(run=run, mixture=mixture, tokenizer=trials.tokenizer, bins=bins, stream=stream)
    config = trials.config.model_copy(update={"name": f"seed-{seed}", "seed": seed})
    state = assemble(config, prepared, stream, open_stream(trials.reference, trials.reference_bins, mixture))
    try:
        take_steps(state, config.steps, lambda row: progress("training", row["step"] + 1, config.steps))
    finally:
        state.metrics.close()
    found = {}
    for lang, reference in references.items():
        tokens = trials.reference_bins.tokens[lang]
        samples = whole_epoch(reference, tokens // mixture.sequence_length)
        nats = mean_loss(state.model, reference, samples, config.global_batch, trials.tokenizer.eos_id)
        found[lang] = {"nats": nats, "bits": nats * tokens / trials.reference_bytes[lang] / math.log(2)}
    return found


def text_of(trials: Trials, run: Path) -> dict[str, dict[str, float]]:
    """What an arm has to train on, by language: tokens, epochs that a training makes of them, share of junk drawn.

    An epoch is what the weights ask for once.
    """
    trained = trials.config.steps * trials.config.global_batch * trials.mixture.sequence_length / len(LANGUAGES)
    found = {}
    weights = find_weights(run)
    for lang, bins in trials.bins(run).domains.items():
        lengths = np.concatenate([np.diff(shard.index.offsets) for shard in bins])
        shards = [pq.read_table(s.path, columns=["source"], partitioning=None) for s in list_shards(run)[lang]]
        junk = np.array(pa.concat_tables(shards)["source"].to_pylist()) == "junk"
        drawn = lengths * np.concatenate([weights.read(shard.name, shard.index.doc_ids) for shard in bins])
        found[lang] = {
            "documents": len(lengths), "tokens": int(lengths.sum()), "epochs": trained / float(drawn.sum()),
            "junk": float(drawn[junk].sum() / drawn.sum()),
        }  # fmt: skip
    return found

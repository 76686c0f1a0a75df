"""Trains the sentence-quality model on reference sets, and evaluates it on held-out sources.

fastText trains (one thread, so that the same texts and seed give the same bytes), on lines of our tokens
joined by spaces; the result is turned into the tables of `filters.linear.model` and fastText is not needed again.
A linear model over words and bigrams instead of a small transformer: it scores at memory speed, and it can be
read. Heads over form and neighbours (`filters.quality.fit_heads`) are fitted on top where the training asks for them.

Labels are balanced within each language: both get as many examples as the scarcer one has, and sources share
a label's part as evenly as they can, so that neither a language nor a big file decides what quality is.

Cost: some 10 MB/s to read and tokenise, then seconds of training for 100,000 sentences, six times with heads; all
examples lie in memory. Source: Joulin et al. 2016, arXiv:1607.01759; a fastText classifier of reference against raw
text as in GPT-3 (Brown et al. 2020, arXiv:2005.14165, appendix A) and DCLM (Li et al. 2024, arXiv:2406.11794).
Deviation: per sentence.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from pydantic import model_validator

from corpus.config import Refused, StrictModel, setting
from corpus.files import atomic_folder
from filters.linear.fasttext_file import read_fasttext
from filters.linear.model import LinearModel
from filters.quality.evaluation import evaluate, score_examples
from filters.quality.fit_heads import LEAST_SOURCES, fit_heads
from filters.quality.model import SentenceModel
from filters.quality.references import Examples, ReferenceSet, read_examples, tokens_text
from tamis.errors import ConfigError

__all__ = ["QualityTraining", "ReferenceSet", "TrainedModel", "WordsTraining", "tokens_text", "train"]

Progress = Callable[[str], None]


class WordsTraining(StrictModel):
    """What to train a model of words on, and how."""

    references: tuple[ReferenceSet, ...] = setting(..., "The reference sets.", min_length=1)
    dim: int = setting(
        16, "Length of a word's vector; free at inference, where it is multiplied out.", unit="numbers", ge=1, le=1024
    )
    epoch: int = setting(
        3,
        "Passes over the examples. More passes, or a higher rate, learn the sources rather than quality: five at 0.2"
        " instead of three at 0.05 cost 0.01 to 0.02 of AUC on held-out sources.",
        unit="passes",
        source="ours, measured",
        ge=1,
    )
    lr: float = setting(0.05, "Learning rate; see epoch.", unit="factor", source="ours, measured", gt=0)
    word_ngrams: int = setting(2, "2 for words and bigrams, 1 for words.", unit="words", ge=1, le=2)
    bucket: int = setting(
        2**18,
        "Buckets that bigrams are hashed into; more collide less. A power of two saves a division a bigram, and 2^18"
        " take 2 MB at inference.",
        unit="buckets",
        ge=1,
        le=2**26,
    )
    min_count: int = setting(3, "Words that come less often are unknown to the model.", unit="occurrences", ge=1)
    seed: int = setting(1, "Seed of training, sampling and corruption.", ge=0, lt=2**31)
    min_tokens: int = setting(5, "Shorter examples are left out.", unit="tokens", ge=1)
    max_sentences_per_source: int = setting(20_000, "Examples taken of one set, drawn evenly.", unit="examples", ge=1)
    max_good_lost: float = setting(
        0.02, "Share of held-out good examples that the suggested threshold may cut.", unit="share", ge=0, lt=1
    )
    max_record_bytes: int = setting(50_000_000, "Longer records are left out.", unit="bytes", gt=0)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [reference.name for reference in self.references]
        for name in names:
            if names.count(name) > 1:
                raise Refused("references", names, f"names that differ; two sets are called {name!r}")
        held_out = {reference.source for reference in self.references if reference.held_out}
        for reference in self.references:
            if not reference.held_out and reference.source in held_out:
                raise Refused("references", reference.source, "each source either held out or trained on")
        for label in ("good", "bad"):
            if not any(r.label == label and not r.held_out for r in self.references):
                raise Refused("references", names, f"a set to train on that is labelled {label!r}")
        return self


class QualityTraining(WordsTraining):
    """The same for sentence quality, where form and neighbours speak too."""

    heads: bool = setting(
        False,
        "Whether heads over form and neighbours are fitted on top of the words. They learn from sources that the words"
        " have not seen, so there must be several of each label: with two, heads fitted on the packaged sets lower the"
        " AUC of Chinese from 0.93 to 0.64.",
    )

    @model_validator(mode="after")
    def _sources_for_heads(self) -> Self:
        if not self.heads:
            return self
        for lang in sorted({r.lang for r in self.references if not r.held_out}):
            for label in ("good", "bad"):
                own = {r.source for r in self.references if (r.lang, r.label) == (lang, label) and not r.held_out}
                if len(own) < LEAST_SOURCES:
                    raise Refused(
                        "heads",
                        True,
                        f"false, or at least {LEAST_SOURCES} {label} sources to train on in each language, and there "
                        f"are {len(own)} in {lang!r}",
                    )
        return self


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """A model on disk."""

    digest: str  # of the model's content
    folder: Path  # where `SentenceModel.load` finds it, with `evaluation.json` beside it
    evaluation: dict[str, Any]  # what that file holds


def train(config: WordsTraining, base_dir: Path, out_folder: Path, progress: Progress | None = None) -> TrainedModel:
    """Trains, evaluates and stores a model; `out_folder` appears whole or not at all, in the place of an older one.

    Raises:
        ConfigError: a path matches nothing, a set is empty, or no language has examples of both labels.
    """
    say = progress or (lambda _: None)
    examples = []
    for i, reference in enumerate(config.references):
        examples.append(
            read_examples(
                reference, f"references[{i}]", base_dir, config.seed, config.min_tokens, config.max_record_bytes
            )
        )
        say(f"read {reference.name}: {len(examples[-1].lines):,} examples")
    chosen = balance(examples, config.max_sentences_per_source, config.seed)
    with atomic_folder(out_folder) as folder:
        say(f"training on {sum(map(len, chosen)):,} examples")
        words = _fit(config, examples, chosen, folder)
        heads = None
        if isinstance(config, QualityTraining) and config.heads:
            say("fitting the heads on sources that their words have not seen")
            heads = fit_heads(examples, chosen, lambda part: _fit(config, examples, part, folder))
        model = SentenceModel(words, heads)
        say("evaluating on the held-out sources")
        known = {e.lines[k] for e, picks in zip(examples, chosen, strict=True) for k in picks}
        scored = [score_examples(model, _without(known, e) if e.reference.held_out else e) for e in examples]
        evaluation: dict[str, Any] = {
            "digest": model.digest,
            "training": {
                "examples": _balance_table(examples, chosen),
                "note": "both labels of a language have as many examples, spread evenly over its sets",
            },
            **evaluate(scored, config.max_good_lost),
        }
        model.save(folder)
        text = json.dumps(evaluation, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
        (folder / "evaluation.json").write_text(text, encoding="utf-8")
    return TrainedModel(model.digest, out_folder, evaluation)


def balance(examples: Sequence[Examples], most: int, seed: int) -> list[list[int]]:
    """Draws the examples to train on: within a language as many good as bad, evenly over the sets of a label.

    Returns for each set indices into `lines`, `most` at most, in text order; none for a set held out. A line that
    occurs twice in a set is drawn once.

    Raises:
        ConfigError: no language has examples of both labels.
    """
    unique = [_first_of_each(e.lines) if not e.reference.held_out else [] for e in examples]
    quota = [min(most, len(u)) for u in unique]
    for lang in {e.reference.lang for e in examples}:
        sides = [
            [i for i, e in enumerate(examples) if e.reference.lang == lang and e.reference.label == label]
            for label in ("good", "bad")
        ]
        total = min(sum(quota[i] for i in side) for side in sides)
        for side in sides:
            for i, share in zip(side, _even_shares([quota[i] for i in side], total), strict=True):
                quota[i] = share
    if not any(quota):
        raise ConfigError("references: no language has both good and bad examples to train on")
    chosen = []
    for i, (lines, share) in enumerate(zip(unique, quota, strict=True)):
        rng = np.random.Generator(np.random.PCG64([seed, i]))
        chosen.append(sorted(lines[k] for k in rng.permutation(len(lines))[:share]))
    return chosen


def _even_shares(available: list[int], total: int) -> list[int]:
    """Shares of `total`, as equal as `available` allows; the first ones get what does not divide."""
    shares = [0] * len(available)
    for place, i in enumerate(sorted(range(len(available)), key=lambda k: (available[k], k))):
        shares[i] = min(available[i], (total - sum(shares)) // (len(available) - place))
    for i in range(len(available)):
        more = min(available[i] - shares[i], total - sum(shares))
        shares[i] += more
    return shares


def _first_of_each(lines: list[str]) -> list[int]:
    first: dict[str, int] = {}
    for i, line in enumerate(lines):
        first.setdefault(line, i)
    return list(first.values())


def _without(known: set[str], held_out: Examples) -> Examples:
    """A held-out set without the examples that were trained on too (boilerplate that sources share)."""
    fresh = [i for i, line in enumerate(held_out.lines) if line not in known]
    if not fresh:
        name = held_out.reference.name
        raise ConfigError(f"references ({name}): every text of this held-out set is trained on too")
    return replace(held_out, kept=held_out.kept[fresh], lines=[held_out.lines[i] for i in fresh])


def _fit(
    config: WordsTraining, examples: Sequence[Examples], chosen: Sequence[Sequence[int]], scratch: Path
) -> LinearModel:
    """Trains words; leaves nothing in `scratch`."""
    fasttext = open_trainer()
    lines = [
        f"__label__{e.reference.label} {e.lines[k]}\n" for e, picks in zip(examples, chosen, strict=True) for k in picks
    ]
    order = np.random.Generator(np.random.PCG64(config.seed)).permutation(len(lines))
    text, binary = scratch / "train.txt", scratch / "model.bin"
    with text.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(lines[i] for i in order)
    trained = fasttext.train_supervised(
        input=str(text),
        dim=config.dim,
        epoch=config.epoch,
        lr=config.lr,
        wordNgrams=config.word_ngrams,
        bucket=config.bucket,
        minCount=config.min_count,
        seed=config.seed,
        loss="softmax",
        thread=1,
        verbose=0,
    )
    trained.save_model(str(binary))
    model = LinearModel.from_fasttext(read_fasttext(binary))
    text.unlink()
    binary.unlink()
    return model


def open_trainer() -> Any:
    """The module `fasttext` of fasttext-community, which trains.

    Raises:
        ConfigError: another package's module of that name lies over it, as fasttext-predict's does, which cannot train.
    """
    import fasttext

    if not hasattr(fasttext, "train_supervised"):
        raise ConfigError(
            f"training needs the module fasttext of fasttext-community, and another package has put its own in that "
            f"place ({fasttext.__file__}): pip install --force-reinstall --no-deps fasttext-community"
        )
    return fasttext


def _balance_table(examples: Sequence[Examples], chosen: Sequence[Sequence[int]]) -> dict[str, dict[str, Any]]:
    """Examples trained on by language, label and set."""
    table: dict[str, dict[str, Any]] = {}
    for e, picks in zip(examples, chosen, strict=True):
        if e.reference.held_out:
            continue
        side = table.setdefault(e.reference.lang, {}).setdefault(e.reference.label, {"total": 0, "sets": {}})
        side["total"] += len(picks)
        side["sets"][e.reference.name] = len(picks)
    return table

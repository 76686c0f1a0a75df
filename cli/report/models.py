"""The parts of the HTML report about models: the sentence-quality model's evaluation, and the loss curve."""

from __future__ import annotations

from typing import Any

from cli.pages.page import Heading, Note, Page, Part, Table
from cli.report.charts import reliability
from cli.report.numbers import Numbers


def add_models(page: Page, numbers: Numbers) -> None:
    """A section for each trained sentence-quality model."""
    header = ("language", "AUC, sentences", "alone", "AUC, documents", "good / bad", "threshold", "bad below it")
    for name, evaluation in numbers.evaluations.items():
        found = sorted(evaluation["languages"].items())
        measured = {language: result for language, result in found if "note" not in result}
        bins = {language: result["reliability"] for language, result in measured.items() if result.get("reliability")}
        parts: list[Part] = []
        if measured:
            parts.append(Table(header, [_measured(*item) for item in measured.items()]))
        if bins:
            parts.append(page.chart(reliability(bins)))
        parts += [Note(f"{language}: {result['note']}") for language, result in found if "note" in result]
        page.section(
            "The sentence-quality model",
            "Measured on sources that it was not trained on. AUC: the chance that a good text scores above a bad one; "
            "alone, without the sentences around it. The threshold is the one that cuts few good sentences. "
            f"Model {name}.",
            *parts,
            Heading("Reference sets"),
            _reference_table(evaluation["sources"]),
        )


def _measured(language: str, found: dict[str, Any]) -> tuple[str, ...]:
    cut = found["suggested_cut"]
    return (
        language,
        _figure(found["auc_examples"]),
        _figure(found.get("auc_alone")),
        _figure(found["auc_documents"]),
        f"{found['examples']['good']:,} / {found['examples']['bad']:,}",
        f"{cut['threshold']:.4f}",
        f"{100 * cut['bad_examples_below']:.1f} %",
    )


def _figure(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.4f}"


def _reference_table(sources: list[dict[str, Any]]) -> Table:
    rows = [
        (
            s["name"],
            s["lang"],
            s["label"],
            "held out" if s["held_out"] else "trained on",
            f"{s['examples']:,}",
            f"{s['mean_example_score']:.3f}",
        )
        for s in sources
    ]
    return Table(("set", "language", "label", "use", "sentences", "mean score"), rows, 4)


def add_training(page: Page, numbers: Numbers) -> None:
    """A section for each training run on these shards: its loss; the rest stands in its own report."""
    from cli.training.charts import loss

    for training in numbers.training:
        summary = training.summary
        note = f"{training.name}: {training.steps:,} steps, {training.rows[-1].get('tokens', 0):,} tokens."
        if "heldout_loss" in summary and "unigram_loss" in summary:
            verdict = "below" if summary["beats_unigram"] else "not below"
            note += f" Held-out loss {summary['heldout_loss']:.3f}, {verdict} the unigram model's "
            note += f"{summary['unigram_loss']:.3f} (nats a token)."
        note += f" Domains, throughput and events: train/{training.name}/report.html."
        page.section("Training on the shards", note, page.chart(loss(training)))

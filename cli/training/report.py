"""The report of a training run: one static HTML page, made from the run's own files alone.

`tamis train` writes it at its end, `tamis report RUN --training NAME` at any time: while the training goes on, after a
kill, on a machine that has no torch. The same files give the same bytes. What a run did not measure has no section.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cli.pages.page import Note, Page, Table
from cli.present import share, size
from cli.training.charts import BAND, SMOOTH, by_domain, gradient, learning_rate, loss, speed, utilisation, waiting
from cli.training.data import DRAWN, Training, finished, finite, loader_share, mean, read_training, throughput
from trainer.metrics import steady_median

REPORT = "report.html"
EVENTS_SHOWN = 200
_DENOMINATORS = (("mfu", "MFU, of the data sheet's peak"), ("mfu_gemm", "MFU, of the measured GEMM"))


def write_training_report(folder: Path, out: Path | None = None) -> Path:
    """Write the page of a training, `RUN/train/<name>`, by default as `report.html` in it; returns the file.

    Raises:
        TamisError: the folder holds no training, or a file is damaged.
    """
    training = read_training(folder)
    page = Page(f"Tamis training: {training.name}")
    for part in (_header, _loss, _domains, _optimizer, _throughput, _utilisation, _events, _checkpoints, _settings):
        part(page, training)
    return page.write(folder / REPORT if out is None else out)


def numbers(training: Training) -> dict[str, Any]:
    """The page's key figures, for programs; what is not known is None."""
    last = training.judged[-1] if training.judged else {}
    summary = training.summary
    return {
        "name": training.name,
        "finished": finished(training),
        "steps": training.steps,
        "tokens": training.rows[-1]["tokens"] if training.rows else 0,
        "parameters": training.facts.get("parameters", summary.get("parameters")),
        "loss": finite(training.rows[-1]["loss"]) if training.rows else None,
        "heldout_loss": finite(last.get("heldout_loss")),
        "heldout_by_domain": {name: finite(loss) for name, loss in last.get("heldout_by_domain", {}).items()},
        "unigram_loss": finite(summary.get("unigram_loss")),
        "tokens_per_second": throughput(training.rows),
        "loader_percent": loader_share(training.rows),
        **{key: finite(summary.get(key, mean(training.rows, key))) for key, _ in _DENOMINATORS},
        "events": len(training.events),
    }


def _header(page: Page, training: Training) -> None:
    facts, told = training.facts, numbers(training)
    planned = facts.get("steps", training.steps)
    where = [f"{facts['ranks']} rank{'s' if facts['ranks'] > 1 else ''} on {facts['device']}"] if facts else []
    if facts:
        where.append(
            f"tokenizer {facts['tokenizer']['digest'][:12]} of {facts['tokenizer']['vocab_size']:,} pieces, "
            f"{len(facts['tokens_per_epoch'])} domains"
        )
    if version := facts.get("tamis_version"):
        where.append(f"Tamis {version}")
    where.append("finished" if told["finished"] else f"at step {training.steps:,} of {planned:,}, not finished")
    cards = [
        (f"{training.steps:,}", f"steps of {planned:,}"),
        (_short(told["tokens"]), "tokens"),
        (_short(told["parameters"]), "parameters"),
        (_loss_text(told["heldout_loss"]), "held-out loss, nats a token"),
        ("–" if told["tokens_per_second"] is None else f"{told['tokens_per_second']:,.0f}", "tokens a second"),
        (_percent(told["loader_percent"]), "of the steps' time waiting for data"),
    ]
    cards += [(_percent(100 * told[key]), text) for key, text in _DENOMINATORS if told[key] is not None]
    page.below, page.key_figures = "; ".join(where), cards


def _loss(page: Page, training: Training) -> None:
    if not training.rows:
        page.section("Loss", "No step has been taken yet.")
        return
    told = numbers(training)
    chart = loss(training)
    note = "The loss of each step on its own batch, and on text held out, in nats a token."
    if any(line["name"] == BAND for line in chart["data"]):
        note += f" The band is where the losses before it predict the median of {SMOOTH} steps."
    if told["unigram_loss"] is not None and told["heldout_loss"] is not None:
        verdict = "below" if told["heldout_loss"] < told["unigram_loss"] else "not below"
        note += f" Held out: {told['heldout_loss']:.3f}, {verdict} the unigram model's {told['unigram_loss']:.3f}."
    note += _thinned(training)
    held = training.facts.get("heldout_note")
    page.section("Loss", note, page.chart(chart), *([Note(f"{held}.")] if held else []))


def _domains(page: Page, training: Training) -> None:
    if not training.domains:
        return
    tokens, epochs = training.trained_tokens(), training.epochs
    held, whole = training.facts.get("heldout_sequences", {}), sum(training.trained_tokens().values())
    rows = []
    for name in sorted({*training.domains, *held, *tokens}):
        told = [row.get("heldout_by_domain", {}).get(name) for row in training.judged]
        losses = [finite(loss) for loss in told if loss is not None]
        first, last = (losses[0], losses[-1]) if losses else (None, None)
        rows.append(
            (
                name,
                _loss_text(first),
                _loss_text(last),
                "–" if first is None or last is None else f"{last - first:+.3f}".replace("-", "−"),
                f"{held[name]:,}" if name in held else "–",
                f"{share(tokens[name], whole):.1f} %" if name in tokens else "–",
                f"{epochs[name]:.3f}" if name in epochs else "–",
            )
        )
    steps = (f"step {training.judged[i]['step'] + 1:,}" for i in (0, -1))
    header = ("domain", *steps, "change", "sequences held out", "share of training", "epochs")
    note = "Held-out loss of each domain, nats a token; weighted by held-out tokens they give the loss above. Shares "
    note += "are of the tokens trained on so far; a domain without a loss has none of the held-out sequences."
    page.section("Loss by domain", note, page.chart(by_domain(training)), Table(header, rows))


def _optimizer(page: Page, training: Training) -> None:
    if training.rows:
        clip = training.facts.get("config", {}).get("optimizer", {}).get("clip_norm")
        note = "The gradient's norm before clipping" + ("" if clip is None else f" to {clip:g}") + ", and the schedule."
        page.section(
            "Gradient and learning rate", note, page.chart(gradient(training)), page.chart(learning_rate(training))
        )


def _throughput(page: Page, training: Training) -> None:
    timed = [row for row in training.rows if row.get("seconds")]
    if not timed:
        return
    ordered = sorted(timed, key=lambda row: row["tokens_per_second"])
    longest = max(timed, key=lambda row: row.get("loader_seconds", 0.0))
    rows = [
        ("time in steps", f"{sum(row['seconds'] for row in timed):,.1f} s"),
        ("tokens a second, over all steps", f"{throughput(timed) or 0:,.0f}"),
        ("of the slowest step", f"{ordered[0]['tokens_per_second']:,} (step {ordered[0]['step'] + 1:,})"),
        ("of the middle step", f"{ordered[len(ordered) // 2]['tokens_per_second']:,}"),
        ("waiting for data, of all steps", _percent(loader_share(timed))),
        ("longest wait", f"{longest.get('loader_seconds', 0.0):.4f} s (step {longest['step'] + 1:,})"),
    ]
    note = "Time of the steps alone: neither judging on held-out text nor saving is in it."
    page.section(
        "Throughput", note, page.chart(speed(training)), page.chart(waiting(training)), Table(("measured", ""), rows)
    )


def _utilisation(page: Page, training: Training) -> None:
    if not any(row.get(key) is not None for row in training.rows for key, _ in _DENOMINATORS):
        return
    device = training.device
    units = (
        ("devices", "devices", 1.0, ""),
        ("products", "6 · N: FLOPs a token of products with weights, forward and backward", 1.0, ""),
        ("attention", "12 · layers · width: FLOPs a token and token of length", 1.0, ""),
        ("peak", "peak of one device, data sheet", 1e-12, " TFLOP/s"),
        ("gemm", "a large matrix product on one device, measured", 1e-12, " TFLOP/s"),
    )
    rows = [
        (text, f"{device[key] * scale:,.{0 if scale == 1 else 2}f}{unit}")
        for key, text, scale, unit in units
        if device.get(key) is not None
    ]
    middles = ((text, steady_median(training.rows, key)) for key, text in _DENOMINATORS)
    rows += [(f"{text} (median)", _percent(100 * value)) for text, value in middles if value is not None]
    note = f"{device.get('formula', '')}; on {device.get('device_name', 'an unknown device')}."
    parts = [Table(("", ""), rows)] if rows else []
    page.section("Model FLOPs utilisation", note, page.chart(utilisation(training)), *parts)


def _events(page: Page, training: Training) -> None:
    if not training.events:
        page.section("Events", "Nothing happened beside the steps: none was passed over, the loss raised no alarm.")
        return
    shown = training.events[-EVENTS_SHOWN:]
    rows = [
        (event.get("kind", ""), event["event"], f"{event['step'] + 1:,}", f"{event['position']:,}") for event in shown
    ]
    note = "Steps that were passed over, ways back to a checkpoint, alarms. The sample is where in the data it was."
    more = len(training.events) - len(shown)
    note += f" The last {len(shown)}; {more:,} before them are in events.jsonl." if more else ""
    page.section("Events", note, Table(("kind", "what", "step", "sample"), rows, 2))


def _checkpoints(page: Page, training: Training) -> None:
    if not training.checkpoints:
        page.section("Checkpoints", "None has been written yet.")
        return
    rows = [
        (
            saved.name,
            "newest" if saved.newest else "",
            "for good" if saved.kept else "",
            f"{saved.step:,}",
            size(saved.size),
        )
        for saved in training.checkpoints
    ]
    note = f"A resume goes on from the newest, after {training.tokens:,} tokens."
    page.section("Checkpoints", note, Table(("folder", "", "kept", "step", "size"), rows, 3))


def _settings(page: Page, training: Training) -> None:
    for title, key in (("The model file", "config"), ("The mixture", "mixture"), ("Phases", "phases")):
        if key in training.facts:
            page.settings(title, training.facts[key])


def _thinned(training: Training) -> str:
    steps = len(training.rows)
    return f" Each point is the mean of some {steps / DRAWN:.0f} steps." if steps > 1.5 * DRAWN else ""


def _loss_text(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f} %" if value < 10 else f"{value:.1f} %"


def _short(number: float | None) -> str:
    """A count in four figures at most: "2.74 M"."""
    if number is None:
        return "–"
    for scale, unit in ((1e12, " T"), (1e9, " B"), (1e6, " M")):
        if number >= scale:
            return f"{number / scale:.3g}{unit}"
    return f"{number:,.0f}"

"""Whether the losses of small models predict the loss of a larger one: a suite on one CPU core, in minutes.

    python -m benchmarks.ablations.scaling_law --run demo/run [--work FOLDER] [--small] [--format json]

Models of 0.07 to 0.26 million weights (the output layer counted, the embeddings not) train on the English domains of
the demo's run, each for four tokens a weight, the smaller ones from two seeds. The law is fitted to them and predicts,
with an interval, the loss of a model of 0.54 million weights; only then is that model trained. The training losses also
go through `trainer.scaling.loss_band.LossBand`, to see whether it raises false alarms.

Models as small as this on so little text show that the machinery is right end to end; they say nothing about how well
the law holds for real ones. `--small` only shows that everything runs; its figures mean nothing.

FOLDER gets links to the run's shards, a tokenizer, bins, and the trainings. Cost: some six minutes of one core;
`--small` seconds.
"""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.tools import machine
from benchmarks.tools.ablation.linked_run import link_run
from benchmarks.tools.command_line import command_line, require
from benchmarks.tools.report import show, table_head
from corpus.config import parse
from sampler.mixture import Mixture
from trainer.config import ModelConfig, TrainConfig
from trainer.scaling.law import fit_scaling_law, predict, product_weights
from trainer.scaling.loss_band import LossBand
from trainer.scaling.runs import read_suite

NEEDS = ("run", "torch", "scipy")

DOMAINS = ("code", "docs_en", "news_en", "wiki_en")
VOCABULARY, LENGTH, BATCH, TOKENS_A_WEIGHT = 1024, 128, 16, 4
SUITE = ((32, 2, 1), (32, 2, 2), (48, 2, 1), (48, 2, 2), (64, 2, 1), (64, 2, 2), (64, 3, 1))
"""Width, layers, seed."""
LARGER = (96, 4, 1)


def config_of(width: int, layers: int, seed: int, tokens_a_weight: float) -> TrainConfig:
    """A model of the suite; its learning rate falls with its width."""
    shape = {"width": width, "layers": layers, "heads": width // 16}
    weights = product_weights(ModelConfig(**shape), VOCABULARY)
    steps = max(10, round(tokens_a_weight * weights / (BATCH * LENGTH)))
    optimizer = {"max_learning_rate": 0.3 / width, "warmup_steps": steps // 10, "clip_norm": 1.0}
    return parse(
        TrainConfig,
        {
            "name": f"w{width}-l{layers}-s{seed}",
            "model": shape,
            "optimizer": optimizer,
            "steps": steps,
            "global_batch": BATCH,
            "seed": seed,
            "device": "cpu",
            "heldout_steps": steps,
            "heldout_sequences": 256,
        },
        "",
    )


def train_one(shape: tuple[int, int, int], run: Path, tokens_a_weight: float) -> dict[str, Any]:
    """Trains a model; returns its summary and the alarms of the loss band."""
    from trainer.loop import train
    from trainer.metrics import read_metrics

    mixture = parse(
        Mixture,
        {
            "domains": {"*": {"max_epochs": 4}},
            "curve": "none",
            "sequence_length": LENGTH,
            "seed": 1,
            "tokenizer": {"vocab_size": VOCABULARY, "sample_bytes": 4_000_000},
        },
        "",
    )
    config = config_of(*shape, tokens_a_weight)
    summary = train(config, mixture, run)
    rows = read_metrics(run / "train" / config.name / "metrics.jsonl")
    band = LossBand(warmup_steps=config.optimizer.warmup_steps)
    alarms = [str(alarm) for row in rows if (alarm := band.add(row["tokens"], row["loss"]))]
    print(f"{config.name}: {summary['heldout_loss']:.4f} in {summary['seconds']:.0f} s; {alarms}", file=sys.stderr)
    return {key: summary[key] for key in ("name", "parameters", "steps", "tokens", "heldout_loss", "seconds")} | {
        "alarms": alarms,
        "folder": str(run / "train" / config.name),
    }


def measure(run: Path, work: Path, tokens_a_weight: float) -> dict[str, Any]:
    """Trains the suite, predicts, trains the larger model."""
    linked = link_run(run, work, DOMAINS)
    before = machine.describe()
    suite = [train_one(shape, linked, tokens_a_weight) for shape in SUITE]
    found = read_suite([Path(one["folder"]) for one in suite], LENGTH)
    law = fit_scaling_law(found.points)
    larger = train_one(LARGER, linked, tokens_a_weight)
    point = read_suite([Path(larger["folder"])], LENGTH).points[0]
    return {
        "machine": before,
        "runs": [one | {"flops": point_of(one)} for one in (*suite, larger)],
        "law": {"a": law.a, "b": law.b, "floor": law.floor, "errors": law.errors, "residual": law.residual},
        "predictions": [asdict(predict(law, point.flops, level)) for level in (0.5, 0.9)],
        "measured": point.loss,
    }


def point_of(one: dict[str, Any]) -> float:
    """The compute of a finished training."""
    return read_suite([Path(one["folder"])], LENGTH).points[0].flops


def as_markdown(body: dict[str, Any]) -> str:
    """A table of the trainings, and the prediction beside the loss that was measured."""
    lines = [machine.as_line(body["machine"]), ""]
    lines.append(table_head("run | tokens | FLOPs | held-out loss | seconds | alarms"))
    for one in body["runs"]:
        lines.append(
            f"| {one['name']} | {one['tokens']:,} | {one['flops']:.3g} | {one['heldout_loss']:.4f} | "
            f"{one['seconds']:.0f} | {len(one['alarms'])} |"
        )
    law = body["law"]
    lines += ["", f"L(C) = {law['a']:.4g} · C^{law['b']:.4f} + {law['floor']:.3f}; runs within {law['residual']:.2%}."]
    for found in body["predictions"]:
        lines.append(
            f"Predicted at {found['flops']:.3g} FLOPs, {found['beyond']:.2f} times the largest: {found['loss']:.3f}, "
            f"{found['level']:.0%} between {found['low']:.3f} and {found['high']:.3f}."
        )
    lines.append(f"Measured: {body['measured']:.3f}.")
    return "\n".join(lines)


def main() -> None:
    """Measures and prints."""
    parser = command_line(__doc__, NEEDS, work="tamis-scaling", formats=True)
    parser.add_argument("--small", action="store_true", help="sizes that only show that it works, in seconds")
    options = parser.parse_args()
    require(NEEDS, options)
    import torch

    torch.set_num_threads(1)
    body = measure(options.run, options.work, 0.1 if options.small else TOKENS_A_WEIGHT)
    show(body, options.format == "json", as_markdown)


if __name__ == "__main__":
    main()

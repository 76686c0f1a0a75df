"""`tamis scaling`: the law of small runs, and what it says of a larger one.

Results go to standard output, progress to standard error.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.options import Answer, MixtureData, answering, named, parse_number, parse_tokens
from cli.present import console, grid
from cli.progress import shown_progress
from tamis.errors import ConfigError
from tamis.extras import needs

if TYPE_CHECKING:
    from trainer.config import TrainConfig
    from trainer.scaling.law import Prediction
    from trainer.scaling.power_law import PowerLaw
    from trainer.scaling.runs import Suite

app = typer.Typer(no_args_is_help=True, help="Fit a scaling law to small runs, predict a larger one.")


@dataclass(frozen=True)
class Wanted:
    """Options that say which run to predict."""

    predict: Annotated[
        str | None,
        typer.Option("--predict", metavar="FLOPS", help="Training compute of the run to predict, e.g. 1e21."),
    ] = None
    model: Annotated[
        Path | None,
        typer.Option(
            "--model", metavar="MODEL.yaml", parser=named("models"), help="The run to predict, by its model file."
        ),
    ] = None
    tokens: Annotated[
        str | None,
        typer.Option("--tokens", help="Tokens of the run to predict, e.g. 2e9; by default those of its model file."),
    ] = None

    def compute(self, suite: Suite, vocab_size: int | None, sequence_length: float | None) -> float | None:
        """The compute to predict for, from FLOPs or a model file; None where neither is given."""
        from corpus.config import load_config
        from trainer.config import TrainConfig
        from trainer.scaling.law import training_flops

        if self.predict is not None and self.model is not None:
            raise ConfigError("--predict, --model: found both; expected one of them")
        if self.predict is not None:
            return parse_number("--predict", self.predict, "1e21", 1e40)
        if self.model is None:
            if self.tokens is not None:
                raise ConfigError("--tokens: found without --model; expected both, or --predict FLOPS")
            return None
        config = load_config(TrainConfig, self.model)
        size, length = vocab_size or suite.vocab_size, sequence_length or suite.sequence_length
        for option, value in (("--vocab-size", size), ("--sequence-length", length)):
            if value is None:
                raise ConfigError(f"{option}: found nothing, and the runs do not say it; --model needs it.")
        assert size is not None and length is not None
        tokens = parse_tokens(self.tokens) or config.steps * config.global_batch * length
        return training_flops(config.model, size, length, tokens)


@dataclass(frozen=True)
class Fit:
    """Options that say how the law is fitted and shown."""

    level: Annotated[float, typer.Option("--level", min=0.5, max=0.999, help="Probability of the interval.")] = 0.9
    absolute: Annotated[bool, typer.Option("--absolute", help="Residuals in nats, not relative to the loss.")] = False
    html: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Also write a page with the curve.")] = (
        None
    )

    def answer(self, suite: Suite, wanted: float | None) -> Answer:
        """Fits, predicts, draws."""
        from trainer.scaling.law import fit_scaling_law, predict

        law = fit_scaling_law(suite.points, relative=not self.absolute)
        prediction = None if wanted is None else predict(law, wanted, self.level)
        if self.html is not None:
            from cli.training.scaling_page import write_scaling_page

            write_scaling_page(self.html, suite.points, law, prediction, self.level)
        page = None if self.html is None else str(self.html)
        return Answer(_as_json(suite, law, prediction) | {"html": page}, lambda: _print(suite, law, prediction, page))


@app.command()
@answering
def fit(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN/train/NAME|POINTS.csv...",
            help="Folders of trained models, or a CSV with the columns flops and loss.",
        ),
    ],
    wanted: Wanted,
    vocab_size: Annotated[
        int | None, typer.Option("--vocab-size", help="Vocabulary for --model, where no run says it.")
    ] = None,
    sequence_length: Annotated[
        int | None, typer.Option("--sequence-length", help="Tokens of a sequence, where no run says it.")
    ] = None,
    *,
    fitted: Fit,
) -> Answer:
    """Fit L(C) = a · C^b + L∞ to the held-out losses of finished runs."""
    from trainer.scaling.runs import read_suite

    suite = read_suite(runs, sequence_length)
    return fitted.answer(suite, wanted.compute(suite, vocab_size, sequence_length))


@app.command()
@answering
def run(
    models: Annotated[
        list[Path], typer.Argument(metavar="MODEL.yaml...", parser=named("models"), help="The suite, at least four.")
    ],
    data: MixtureData,
    wanted: Wanted,
    fitted: Fit,
) -> Answer:
    """Train models one after the other on one mixture, then fit; after a kill the same command goes on."""
    from cli.training.report import write_training_report
    from corpus.config import load_config
    from sampler.prepare import prepare, split_streams
    from trainer.config import TrainConfig

    needs("torch", extra="train", for_="tamis scaling run")
    from trainer.facts import training_progress
    from trainer.loop import train
    from trainer.scaling.law import FEWEST
    from trainer.scaling.runs import read_suite

    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ConfigError(
            "tamis scaling run: found several processes; expected one, or tamis train under torchrun, then fit"
        )
    configs = [load_config(TrainConfig, path) for path in models]
    _require_suite(configs, FEWEST)
    mixture, folder = data.load()
    length = mixture.longest_sequence
    trained = []
    with shown_progress() as progress:
        manifest = split_streams(prepare(folder, mixture, progress))[0].manifest
        for config in configs:
            trained.append(folder / "train" / config.name)
            stands = training_progress(trained[-1], config, manifest)
            if stands == "finished":
                continue

            def report(row: dict[str, Any]) -> None:
                progress.update(row["step"] + 1)

            train(config, mixture, folder, resume=stands == "begun", progress=progress, report=report)
            write_training_report(trained[-1])
    suite = read_suite(trained, length)
    return fitted.answer(suite, wanted.compute(suite, None, length))


def _require_suite(configs: list[TrainConfig], fewest: int) -> None:
    """Check before training what the fit would refuse after it."""
    from trainer.config import require_names

    require_names(configs)
    if len(configs) < fewest:
        raise ConfigError(f"models: found {len(configs)}; expected at least {fewest} for a scaling law")


def _as_json(suite: Suite, law: PowerLaw, prediction: Prediction | None) -> dict[str, Any]:
    import math

    named = zip(("log_a", "b", "floor"), law.errors, strict=True)
    return {
        "law": {"a": law.a, "b": law.b, "floor": law.floor},
        "standard_errors": {name: error if math.isfinite(error) else None for name, error in named},
        "residual": law.residual,
        "relative": law.relative,
        "degrees_of_freedom": law.degrees,
        "runs": [asdict(point) | {"fitted": float(law(point.flops))} for point in suite.points],
        "prediction": None if prediction is None else asdict(prediction),
    }


def _print(suite: Suite, law: PowerLaw, prediction: Prediction | None, page: str | None) -> None:
    from rich.markup import escape

    table = grid(["run"], ("FLOPs", "held-out loss", "law", "off by"))
    for point in suite.points:
        fitted = float(law(point.flops))
        cells = (f"{point.flops:.3g}", f"{point.loss:.4f}", f"{fitted:.4f}", f"{point.loss - fitted:+.4f}")
        table.add_row(escape(point.name), *cells)
    out = console()
    out.print(table)
    unit = "of the loss" if law.relative else "nats"
    spread = f"{law.residual:.2%}" if law.relative else f"{law.residual:.4f}"
    out.print(f"L(C) = {law.a:.4g} · C^{law.b:.4f} + {law.floor:.3f}   (nats a token; C in FLOPs)")
    out.print(
        f"standard errors: b {law.errors[1]:.2g}, L∞ {law.errors[2]:.2g}; runs lie within {spread} {unit} of it "
        f"(one deviation, {law.degrees} degrees of freedom)"
    )
    if law.floor < 1e-6:
        out.print("these runs show no floor (L∞ is at its limit of 0): far beyond them the law will be too low")
    if prediction is not None:
        out.print(
            f"at {prediction.flops:.3g} FLOPs, {prediction.beyond:.3g} times the largest run's: {prediction.loss:.3f}, "
            f"with {prediction.level:.0%} probability between {prediction.low:.3f} and {prediction.high:.3f}"
        )
    if page is not None:
        typer.echo(f"written: {page}")

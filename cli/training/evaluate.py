"""`tamis model evaluate` and `tamis model harness`: what trained models are worth, on held-out text and on tasks.

Results go to standard output, progress to standard error.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.options import Answer, CheckpointOption, MixtureData, MixtureOption, ModelArgument, RunOption, answering, named
from cli.present import add_numbers, console, grid
from cli.progress import shown_progress
from tamis.errors import ConfigError
from tamis.extras import look_for, needs
from tamis.version import RECORD

if TYPE_CHECKING:
    from sampler.heldout import JudgedText
    from sampler.mixture import Mixture
    from sampler.tokenizer.model import Tokenizer
    from tamis.progress import Progress
    from trainer.config import TrainConfig
    from trainer.evaluation.perplexity import PerplexityRow
    from trainer.model import Transformer

ALONG = 6
"""Decimal places in evaluation.json: those that do not change when the same numbers are added in another order."""

LengthOption = Annotated[
    int | None,
    typer.Option(
        "--sequence-length",
        min=2,
        help="Tokens that the model sees at a time; by default the mixture's longest sequence.",
    ),
]


@answering
def evaluate(
    models: Annotated[
        list[Path],
        typer.Argument(metavar="MODEL.yaml...", parser=named("models"), help="Model files, trained on the run."),
    ],
    data: MixtureData,
    checkpoint: CheckpointOption = None,
    documents: Annotated[int, typer.Option("--documents", min=0, help="Most documents of a domain; 0 for all.")] = 0,
    sequence_length: LengthOption = None,
    on: Annotated[
        list[str] | None,
        typer.Option("--on", metavar="RUN|BINS", help="Judge on this text instead of the run's own; may be repeated."),
    ] = None,
    save: Annotated[bool, typer.Option("--save", help="Also write RUN/train/NAME/evaluation.json.")] = False,
) -> Answer:
    """Perplexity and bits a byte on documents that were held out, by domain and by language."""
    from corpus.config import load_config
    from corpus.files import write_json
    from trainer.config import TrainConfig, require_names

    needs("torch", extra="train", for_="tamis model evaluate")
    configs = [load_config(TrainConfig, path) for path in models]
    require_names(configs)
    mixture, folder = data.load()
    length = sequence_length or mixture.longest_sequence
    with shown_progress() as progress:
        tokenizer, text = _open_text(folder, mixture, on or [], documents, progress)
        judged: list[dict[str, Any]] = []
        for config in configs:
            model, step = _open_model(folder, config, tokenizer, checkpoint)
            rows = _judged(model, text, length, tokenizer, progress, config.name)
            judged.append({"model": config.name, "step": step, "rows": [_rounded(row) for row in rows]})
    facts = {"tokenizer": tokenizer.digest, "sequence_length": length, "documents_per_domain": documents or None}
    facts |= {"split": text.split}
    if save:
        for found in judged:
            write_json(folder / "train" / found["model"] / "evaluation.json", RECORD | found | facts)
    return Answer(facts | {"models": judged}, lambda: _print(judged, length, text.split))


@answering
def harness(
    model: ModelArgument,
    mixture: MixtureOption,
    tasks: Annotated[str, typer.Option("--tasks", metavar="A,B", help="Names of tasks, the harness's or your own.")],
    run: RunOption = None,
    checkpoint: CheckpointOption = None,
    include_path: Annotated[
        Path | None,
        typer.Option("--include-path", metavar="FOLDER", help="A folder with YAML files of your own tasks."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Take only the first documents of each task.")
    ] = None,
    examples: Annotated[
        int | None, typer.Option("--examples", min=0, help="Solved examples before each question (few-shot).")
    ] = None,
    sequence_length: LengthOption = None,
) -> Answer:
    """Ask a trained model tasks of EleutherAI's lm-evaluation-harness (the `eval` extra)."""
    from corpus.config import load_config
    from sampler.prepare import tokenizer_for_mixture
    from trainer.config import TrainConfig

    look_for("lm_eval", extra="eval", for_="tamis model harness")  # the import takes seconds
    needs("torch", extra="train", for_="tamis model harness")
    if include_path is not None and not include_path.is_dir():
        raise ConfigError(
            f"--include-path: found {include_path}, which is no folder; expected one with YAML files of tasks"
        )
    names = [name.strip() for name in tasks.split(",") if name.strip()]
    if not names:
        raise ConfigError(f"--tasks: found {tasks!r}; expected names with commas between them")
    config = load_config(TrainConfig, model)
    data, folder = MixtureData(mixture, run).load()
    with shown_progress() as progress:
        tokenizer = tokenizer_for_mixture(folder, data, progress)
        trained, step = _open_model(folder, config, tokenizer, checkpoint)
        needs("lm_eval", extra="eval", for_="tamis model harness")
        from trainer.evaluation.harness import HarnessModel, run_tasks

        asked = HarnessModel(trained, tokenizer, sequence_length or data.longest_sequence, progress)
        found = run_tasks(asked, names, include_path, limit=limit, examples=examples)
    result = {"model": config.name, "step": step, "tasks": found}
    return Answer(result, lambda: _print_tasks(result))


def _open_text(
    run: Path, mixture: Mixture, places: list[str], most: int, progress: Progress
) -> tuple[Tokenizer, JudgedText]:
    """The tokenizer, and the text to judge on.

    Raises:
        ConfigError: there is no document to judge on.
    """
    from sampler.heldout import heldout_text, merge_texts, other_text
    from sampler.prepare import bins_for, open_tokens

    tokenizer, bins = open_tokens(run, mixture, progress)
    if not places:
        text = heldout_text(bins, mixture, run, most)
    else:
        texts = {}
        for place in places:
            folder = Path(place)
            is_run = (folder / "shards").is_dir()
            other = bins_for(folder, tokenizer, progress) if is_run else _bare_bins(place, tokenizer)
            texts[place.rstrip("/").rpartition("/")[2]] = other_text(other, bins, folder if is_run else None, most)
        text = merge_texts(texts)
    if not text.documents:
        raise ConfigError(
            f"split: found no held-out document of {', '.join(text.domains)}; expected domains that hold some out"
        )
    return tokenizer, text


def _bare_bins(place: str, tokenizer: Tokenizer) -> Any:
    from sampler.bins.manifests import open_bins

    bins = open_bins(place)
    if bins.tokenizer_digest != tokenizer.digest:
        raise ConfigError(
            f"--on {place}: found tokenizer {bins.tokenizer_digest[:12]}; expected bins of {tokenizer.digest[:12]}, "
            "which the mixture has"
        )
    return bins


def _open_model(run: Path, config: TrainConfig, tokenizer: Tokenizer, step: int | None) -> tuple[Transformer, int]:
    from trainer.evaluation.scores import scoring_model
    from trainer.evaluation.trained import read_trained
    from trainer.setup import choose_device

    state, found = read_trained(run / "train" / config.name, config, step=step, tokenizer=tokenizer.digest)
    return scoring_model(state, config.model, choose_device(config.device)), found


def _judged(
    model: Transformer, text: JudgedText, length: int, tokenizer: Tokenizer, progress: Progress, name: str
) -> list[PerplexityRow]:
    import numpy as np

    from sampler.tokenizer.sentencepiece_model import piece_bytes
    from trainer.evaluation.perplexity import judge, table_of

    sizes = np.array(piece_bytes(tokenizer.processor.serialized_model_proto()), np.int64)
    return table_of(judge(model, text, length, sizes, progress, f"judging {name}"), text.domains)


def _rounded(row: PerplexityRow) -> dict[str, Any]:
    return {name: round(value, ALONG) if isinstance(value, float) else value for name, value in asdict(row).items()}


SPLITS = {
    "heldout": "held-out documents",
    "hash": "documents that training leaves out by hash, as the run has no held-out split",
    "all": "all documents of a text that has no held-out split",
}


def _print(judged: list[dict[str, Any]], length: int, split: str) -> None:
    from rich.markup import escape

    table = grid([""], ("documents", "tokens", *(("nats a token", "±") if len(judged) == 1 else ())))
    for found in judged:
        head = f"{escape(found['model'])}\n" if len(judged) > 1 else ""
        add_numbers(table, (f"{head}perplexity", f"{head}bits a byte"))
    before = ""
    for rows in zip(*(found["rows"] for found in judged), strict=True):
        row = rows[0]
        if row["kind"] != before:
            table.add_section()
            if row["kind"] != "total":
                table.add_row(f"[bold]by {row['kind']}[/bold]")
            before = row["kind"]
        cells = [escape(row["name"]), f"{row['documents']:,}", f"{row['tokens']:,}"]
        for each in rows:
            if len(judged) == 1:
                cells += [_number(each["nats"], 4), _number(each["standard_error"], 4)]
            cells += [_perplexity(each["perplexity"]), _number(each["bits_per_byte"], 4)]
        table.add_row(*cells)
    out, what = console(), " and ".join(SPLITS[part] for part in split.split("+"))
    for found in judged:
        out.print(f"{escape(found['model'])}, step {found['step']:,}")
    out.print(f"{what}, whole, cut every {length:,} tokens; the first token of each is not predicted\n")
    out.print(table)


def _print_tasks(result: dict[str, Any]) -> None:
    from rich.markup import escape
    from rich.table import Table

    typer.echo(f"{result['model']}, step {result['step']:,}")
    table = Table(box=None, padding=(0, 1))
    table.add_column("task", no_wrap=True)
    table.add_column("documents", justify="right")
    table.add_column("metric", no_wrap=True)
    for name in ("value", "±"):
        table.add_column(name, justify="right", no_wrap=True)
    for task, measures in result["tasks"].items():
        documents = "–" if measures["documents"] is None else f"{measures['documents']:,}"
        for metric, value in measures.items():
            if metric in ("documents", "version") or "_stderr" in metric:
                continue
            name, _, kind = metric.partition(" ")
            error = measures.get(" ".join(filter(None, (f"{name}_stderr", kind))))
            table.add_row(escape(task), documents, escape(metric), _number(value, 4), _number(error, 4))
            task = documents = ""
    console().print(table)


def _perplexity(value: float | None) -> str:
    """Two decimal places; from a million on, three significant figures."""
    return _number(value, 2) if value is None or value < 1e6 else f"{value:.2e}"


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"

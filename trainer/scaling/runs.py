"""The points of a scaling law: finished training folders, or a CSV of computes and losses.

A folder's `summary.json` has tokens and held-out loss. The compute is the summary's `flops`, or counted from the model
shape in the checkpoint and a sequence length, from the summary or given by the caller.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from corpus.config import parse
from corpus.files import read_json
from tamis.errors import ConfigError, TamisError
from trainer.config import POINTER, ModelConfig
from trainer.scaling.law import Point, training_flops

SUMMARY = "summary.json"


@dataclass(frozen=True, kw_only=True)
class Suite:
    """Points in order of compute, and what their runs have in common.

    The vocabulary is None if only CSV files were read, the sequence length if it is unknown or differs.
    """

    points: tuple[Point, ...]
    vocab_size: int | None
    sequence_length: float | None


def read_suite(paths: Sequence[Path], sequence_length: float | None = None) -> Suite:
    """Read `RUN/train/<name>` folders, and CSV files with the columns flops, loss and perhaps name.

    `sequence_length` is for runs whose summary lacks it.

    Raises:
        ConfigError: a path is neither, a run is unfinished, or runs have different vocabularies.
    """
    points: list[Point] = []
    sizes: dict[int, str] = {}
    lengths: set[float] = set()
    for path in paths:
        if path.is_dir():
            point, vocab_size, length = read_run(path, sequence_length)
            points.append(point)
            sizes.setdefault(vocab_size, point.name)
            lengths |= {length} if length else set()
        else:
            points += read_csv(path)
    if len(sizes) > 1:
        said = ", ".join(f"{name} {size:,}" for size, name in sizes.items())
        raise ConfigError(f"vocab_size: found {said}; expected one tokenizer, or losses do not compare")
    return Suite(
        points=tuple(sorted(points, key=lambda point: point.flops)),
        vocab_size=next(iter(sizes), None),
        sequence_length=lengths.pop() if len(lengths) == 1 else None,
    )


def read_run(folder: Path, sequence_length: float | None = None) -> tuple[Point, int, float | None]:
    """A finished run: its point, the size of its vocabulary, and its sequence length or None.

    Raises:
        ConfigError: the folder holds no finished run.
    """
    if not (folder / SUMMARY).is_file():
        raise ConfigError(f"{folder}: found no {SUMMARY}; expected RUN/train/<name> of a finished training")
    summary = read_json(folder / SUMMARY)
    try:
        tokens, vocab_size, loss = summary["tokens"], int(summary["vocab_size"]), float(summary["heldout_loss"])
        length, flops = summary.get("sequence_length", sequence_length), summary.get("flops")
        if flops is None:
            model = _shape(folder)
            if model is None:
                raise ConfigError(f"{folder / SUMMARY}: says no `flops`, and no checkpoint beside it says the model.")
            if length is None:
                raise ConfigError(f"{folder / SUMMARY}: found no `sequence_length`; expected --sequence-length N")
            flops = training_flops(model, vocab_size, length, tokens)
    except (KeyError, TypeError, ValueError) as error:
        raise TamisError(f"{folder / SUMMARY}: is not the summary of a training ({error!r}); train again.") from error
    return Point(name=folder.name, flops=float(flops), loss=loss), vocab_size, length


def _shape(folder: Path) -> ModelConfig | None:
    """The model's shape in the checkpoint; None if there is no checkpoint."""
    if not (folder / POINTER).is_file():
        return None
    shape = read_json(folder / POINTER).get("identity", {}).get("model")
    return None if shape is None else parse(ModelConfig, shape, "model")


def read_csv(path: Path) -> list[Point]:
    """Points of a CSV with the columns flops and loss, and perhaps name.

    Raises:
        ConfigError: it cannot be read, a column is missing, or a cell is no number.
    """
    try:
        rows = list(csv.DictReader(path.read_text("utf-8-sig").splitlines(), skipinitialspace=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path}: cannot be read as CSV ({error}).") from None
    if not rows:
        raise ConfigError(f"{path}: found no rows; expected columns flops,loss and a row a run")
    if missing := {"flops", "loss"} - set(rows[0]):
        raise ConfigError(
            f"{path}: found no column {sorted(missing)[0]!r}, but {', '.join(map(str, rows[0]))}"
            "; expected flops, loss and perhaps name"
        )
    points = []
    for number, row in enumerate(rows, 2):
        try:
            values = {key: float(row[key]) for key in ("flops", "loss")}
        except (TypeError, ValueError):
            cells = {key: row[key] for key in ("flops", "loss")}
            raise ConfigError(f"{path}: line {number}: found {cells}; expected numbers") from None
        points.append(Point(name=row.get("name") or f"line {number}", **values))
    return points

"""Reads a training run's own files for its report, as many as there are: while it runs, at its end, after a kill.

Nothing here needs torch. A last line cut by a crash is left out; a value that is not finite is drawn as a gap.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from corpus.files import read_json
from tamis.errors import TamisError
from trainer.metrics import ALARM, CHANGED, ENDED, SKIPPED, WENT_BACK, read_metrics

DRAWN = 2_000
"""Points of a line at most: a longer run is drawn in stretches of several steps."""
KINDS = (SKIPPED, WENT_BACK, ALARM, ENDED, CHANGED)
Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Saved:
    """A checkpoint that is there; a resume goes on from the newest, and a kept one stays when newer ones come."""

    name: str
    step: int
    size: int
    newest: bool
    kept: bool


@dataclass(frozen=True, kw_only=True)
class Training:
    """What the files of `RUN/train/<name>` say; a file that is not there, such as the summary of a run that goes on, is
    empty.

    `facts` are `training.json`; `rows` the lines of `metrics.jsonl`; `checkpoints` those that are there, by step;
    `tokens` those trained on at the newest.
    """

    folder: Path
    facts: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    device: dict[str, Any] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    events: list[Row] = field(default_factory=list)
    checkpoints: list[Saved] = field(default_factory=list)
    tokens: int = 0

    @property
    def name(self) -> str:
        """The training's name, that of its folder."""
        return self.folder.name

    @property
    def steps(self) -> int:
        """Steps taken."""
        return int(self.rows[-1]["step"]) + 1 if self.rows else 0

    @property
    def judged(self) -> list[Row]:
        """The rows with a held-out loss."""
        return [row for row in self.rows if row.get("heldout_loss") is not None]

    @property
    def domains(self) -> list[str]:
        """The domains with a held-out loss."""
        return sorted({name for row in self.judged for name in row.get("heldout_by_domain", {})})

    @property
    def epochs(self) -> dict[str, float]:
        """Domain → epochs, as the newest row or the summary has them."""
        return next((told["epochs"] for told in (self.summary, *reversed(self.rows)) if told.get("epochs")), {})

    def trained_tokens(self) -> dict[str, float]:
        """Tokens that each domain gave: its epochs times its tokens."""
        each = self.facts.get("tokens_per_epoch", {})
        return {name: epochs * each[name] for name, epochs in self.epochs.items() if name in each}


def read_training(folder: Path) -> Training:
    """Read a training folder.

    Raises:
        TamisError: it holds no training, or a file is damaged.
    """
    if not any((folder / name).is_file() for name in ("metrics.jsonl", "training.json")):
        beside = sorted(path.parent.name for path in folder.parent.glob("*/metrics.jsonl"))
        raise TamisError(
            f"{folder}: found no training; expected "
            + (f"one of {', '.join(beside)}" if beside else "one that `tamis train` has begun")
        )
    pointer = _json(folder / "checkpoint.json")
    return Training(
        folder=folder,
        facts=_json(folder / "training.json"),
        summary=_json(folder / "summary.json"),
        device=_json(folder / "device.json"),
        rows=read_metrics(folder / "metrics.jsonl"),
        events=read_metrics(folder / "events.jsonl"),
        checkpoints=_checkpoints(folder, pointer),
        tokens=int(pointer.get("tokens", 0)),
    )


def _json(path: Path) -> dict[str, Any]:
    return read_json(path) if path.is_file() else {}


def _checkpoints(folder: Path, pointer: dict[str, Any]) -> list[Saved]:
    """The checkpoints that checkpoint.json names; a folder left by a save that was killed is not among them."""
    newest = pointer.get("folder")
    names = sorted({*pointer.get("kept", []), *([newest] if newest else [])})
    return [
        Saved(
            name=name,
            step=int(name.rsplit("-", 1)[1]),
            size=sum(path.stat().st_size for path in (folder / name).rglob("*") if path.is_file()),
            newest=name == newest,
            kept=name in pointer.get("kept", []),
        )
        for name in names
        if (folder / name).is_dir()
    ]


# ------------------------------------------------------------------------------------------------------------- numbers


def finite(value: float | None) -> float | None:
    """The number; None where there is none or it is not finite."""
    return value if value is not None and math.isfinite(value) else None


def stretches(rows: list[Row]) -> list[list[Row]]:
    """Rows cut into at most `DRAWN` groups of neighbours, each drawn as one point."""
    count = min(len(rows), DRAWN)
    edges = [len(rows) * i // count for i in range(count + 1)] if count else []
    return [rows[a:b] for a, b in pairwise(edges)]


def mean(rows: list[Row], key: str) -> float | None:
    """The mean of a column over the rows in which it is finite; None where there are none."""
    values = [value for row in rows if (value := finite(row.get(key))) is not None]
    return math.fsum(values) / len(values) if values else None


def loader_share(rows: list[Row]) -> float | None:
    """The share of the steps' time spent waiting for data, %; None where it was not measured."""
    timed = [row for row in rows if row.get("seconds") and row.get("loader_seconds") is not None]
    whole = math.fsum(row["seconds"] for row in timed)
    return 100 * math.fsum(row["loader_seconds"] for row in timed) / whole if whole else None


def throughput(rows: list[Row]) -> float | None:
    """Tokens a second over some steps: all their tokens divided by all their time; None where it was not measured."""
    timed = [row for row in rows if row.get("seconds") and row.get("tokens_per_second") is not None]
    whole = math.fsum(row["seconds"] for row in timed)
    return math.fsum(row["tokens_per_second"] * row["seconds"] for row in timed) / whole if whole else None


def finished(training: Training) -> bool:
    """Whether all planned steps are taken and the held-out loss of the last is known."""
    return bool(training.summary) and training.steps >= int(training.facts.get("steps", training.steps))

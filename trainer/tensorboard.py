"""The numbers of `metrics.jsonl` as TensorBoard's event files, in `RUN/train/<name>/tensorboard`.

They are written by torch's own writer, which needs the package tensorboard (the extra `tensorboard`). Steps count from
one, as in all output for people. Event files are append-only: steps that a resume or a return to a checkpoint discards
are invalidated by a session start event at that step, which TensorBoard respects. Every step is on disk before the next
one begins, so that a killed run loses no step that its checkpoint includes.

Cost: some 0.2 to 0.5 ms for a step's numbers and the flush.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tamis.extras import needs

TAGS = {
    "loss": "loss/training",
    "heldout_loss": "loss/heldout",
    "gradient_norm": "optimizer/gradient_norm",
    "learning_rate": "optimizer/learning_rate",
    "tokens_per_second": "speed/tokens_per_second",
    "loader_seconds": "speed/loader_seconds",
    "mfu": "speed/mfu",
    "mfu_gemm": "speed/mfu_gemm",
}
"""Key of a row → tag in TensorBoard; a domain's held-out loss has the tag `heldout/<domain>`."""
EVENTS = "events"


class TensorBoardWriter:
    """Writes event files, another one each time that a run is resumed.

    Steps from `first_step` on that are in the folder are invalidated; at 0 the folder is emptied.
    """

    def __init__(self, folder: Path, first_step: int) -> None:
        needs("torch", extra="train", for_="tensorboard: true")
        from torch.utils.tensorboard import SummaryWriter

        if not first_step:
            shutil.rmtree(folder, ignore_errors=True)
        self._writer: Any = SummaryWriter(str(folder), purge_step=first_step + 1)  # type: ignore[no-untyped-call]

    def add(self, row: dict[str, Any]) -> None:
        """A step's numbers."""
        for tag, value in scalars(row):
            self._writer.add_scalar(tag, value, row["step"] + 1)
        self._writer.flush()

    def event(self, row: dict[str, Any]) -> None:
        """An event, as text."""
        self._writer.add_text(EVENTS, row["event"], row["step"] + 1)
        self._writer.flush()

    def drop(self, step: int) -> None:
        """Invalidate the steps from this one on, counted from zero as in a row."""
        needs("tensorboard", extra="tensorboard", for_="tensorboard: true")
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog

        start = Event(session_log=SessionLog(status=SessionLog.START))
        self._writer.file_writer.add_event(start, step + 1)

    def close(self) -> None:
        """Close the file."""
        self._writer.close()


def open_tensorboard(folder: Path, first_step: int) -> TensorBoardWriter:
    """A writer.

    Raises:
        ConfigError: the package is missing.
    """
    needs("tensorboard", extra="tensorboard", for_="tensorboard: true")
    return TensorBoardWriter(folder, first_step)


def scalars(row: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """Tags and values of a row."""
    for name, tag in TAGS.items():
        if row.get(name) is not None:
            yield tag, row[name]
    for domain, loss in row.get("heldout_by_domain", {}).items():
        yield f"heldout/{domain}", loss

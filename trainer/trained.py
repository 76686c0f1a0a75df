"""The weights of a finished training, whole, for whoever only reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trainer.checkpoint import read_pointer, read_weights
from trainer.config import TrainConfig


def read_trained(folder: Path, config: TrainConfig) -> tuple[dict[str, Any], int]:
    """The whole state dict of the last checkpoint, on the CPU, and its step.

    Args:
        folder: `RUN/train/<name>`.
        config: the model file that it was trained with.

    Raises:
        TamisError: there is no checkpoint, it is corrupt, or it is of another shape.
    """
    pointer = read_pointer(folder, {"model": config.model.model_dump()})
    return read_weights(folder), int(pointer["step"])

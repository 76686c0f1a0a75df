"""Reading the weights of a trained model, for evaluation and export."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tamis.errors import TamisError
from trainer.checkpoint import read_pointer, read_weights
from trainer.config import POINTER, TrainConfig


def read_trained(
    folder: Path, config: TrainConfig, *, step: int | None = None, tokenizer: str | None = None
) -> tuple[dict[str, Any], int]:
    """The whole state dict of a checkpoint, the last or one that was kept, on the CPU, and its step.

    `tokenizer` is the digest of the one that it must have been trained with; None for any.

    Raises:
        ConfigError: there is no checkpoint of that step.
        TamisError: there is no checkpoint, it is corrupt, or of another shape or tokenizer.
    """
    if not (folder / POINTER).exists():
        raise TamisError(f"{folder}: holds no checkpoint; run `tamis train` with its model file first.")
    identity = {"model": config.model.shape} | ({} if tokenizer is None else {"tokenizer": tokenizer})
    pointer = read_pointer(folder, identity)
    return read_weights(folder, step), int(pointer["step"] if step is None else step)

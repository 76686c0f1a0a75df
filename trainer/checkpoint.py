"""Checkpoints that exist whole or not at all.

Weights and optimizer go to `checkpoint-<step>.pt` by a temporary name and a rename; then `checkpoint.json`,
replaced in one step, names that file, its sha256 and the sampler's state. A crash in between leaves the
checkpoint before.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from corpus.errors import TamisError
from corpus.files import atomic_file, file_digest, read_json, write_json

POINTER = "checkpoint.json"


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """What a run goes on from."""

    step: int
    sampler: dict[str, Any]
    model: dict[str, Any]
    optimizer: dict[str, Any]


def save_checkpoint(folder: Path, checkpoint: Checkpoint, identity: dict[str, Any]) -> None:
    """Write a checkpoint, make it current, and remove the one before.

    Args:
        folder: `RUN/train/<name>`.
        checkpoint: what to keep.
        identity: what a resuming run must share with this one, e.g. the model's shape.
    """
    path = folder / f"checkpoint-{checkpoint.step:08d}.pt"
    buffer = io.BytesIO()
    torch.save({"model": checkpoint.model, "optimizer": checkpoint.optimizer}, buffer)
    with atomic_file(path) as file:
        file.write(buffer.getbuffer())
    pointer = {"step": checkpoint.step, "file": path.name, "sha256": file_digest(path)}
    write_json(folder / POINTER, {**pointer, "sampler": checkpoint.sampler, "identity": identity})
    for old in folder.glob("checkpoint-*.pt"):
        if old != path:
            old.unlink()


def load_checkpoint(folder: Path, identity: dict[str, Any], device: torch.device) -> Checkpoint:
    """Read the current checkpoint.

    Raises:
        TamisError: there is none, it is corrupt, or it is of another model.
    """
    if not (folder / POINTER).exists():
        raise TamisError(f"{folder}: holds no checkpoint to resume from; train without --resume first.")
    pointer = read_json(folder / POINTER)
    for key, wanted in identity.items():
        found = pointer["identity"].get(key)
        if found != wanted:
            raise TamisError(f"{folder / POINTER}: its {key} is {found}, this run's is {wanted} (allowed: the same).")
    path = folder / pointer["file"]
    if not path.exists() or file_digest(path) != pointer["sha256"]:
        raise TamisError(f"{path}: is missing or corrupt, its sha256 is not that of {POINTER}.")
    saved = torch.load(path, map_location=device, weights_only=True)
    return Checkpoint(step=pointer["step"], sampler=pointer["sampler"], **saved)

"""Atomic checkpoints, written while training continues, readable at any number of ranks.

torch's distributed checkpoint writes each rank's shards into `checkpoint-<step>.saving/`. When all are complete, rank 0
writes `manifest.json` with the sha256 of every file, renames the folder, and replaces `checkpoint.json`, which has the
folder's name and the sampler's state. If a process is killed at any moment, the previous checkpoint is intact.
Resuming reshards: states are stored by parameter names, not by ranks.

States are first copied to the CPU, then written by a thread; the next save waits for it. The newest checkpoint is kept,
and for good the first one past every `keep_every_tokens`, as the report publishes checkpoints from 220 B to 2,640 B
tokens.

Cost: training waits for the copy to the CPU; writing to disk goes on in the background.
"""

from __future__ import annotations

import shutil
import threading
import warnings
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.checkpoint.default_planner import _EmptyStateDictLoadPlanner
from torch.distributed.checkpoint.filesystem import FileSystemReader
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
from torch.distributed.checkpoint.state_dict_loader import _load_state_dict, load
from torch.distributed.checkpoint.state_dict_saver import async_save

from corpus.files import file_digest, read_json, write_json
from tamis.errors import ConfigError, TamisError
from tamis.version import RECORD
from trainer.config import POINTER

MANIFEST = "manifest.json"
# A process without a group saves alone, as intended; torch warns from a thread, which no narrower filter catches.
warnings.filterwarnings("ignore", message="torch.distributed is disabled")


@dataclass(frozen=True, kw_only=True)
class Saved:
    """What a run resumes from, besides model and optimizer: steps taken, tokens seen, the sampler's state."""

    step: int
    tokens: int
    sampler: dict[str, Any]


class Checkpoints:
    """The checkpoints of a training run, in `RUN/train/<name>`.

    `identity` is what a resumed run must have in common with this one: the model's shape, the tokenizer. The first
    checkpoint past every `keep_every_tokens` is kept for good; 0 keeps none.
    """

    def __init__(self, folder: Path, identity: dict[str, Any], keep_every_tokens: int = 0) -> None:
        self.folder, self.identity, self.keep_every_tokens = folder, identity, keep_every_tokens
        self._group = dist.new_group(backend="gloo") if dist.is_initialized() else None
        self._writing: threading.Thread | None = None
        self._failure: BaseException | None = None

    def save(self, saved: Saved, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Start writing a checkpoint; all ranks call this. Returns when the states are copied.

        Raises:
            TamisError: the previous one could not be written.
        """
        self.wait()
        path = self.folder / f"checkpoint-{saved.step:08d}"
        partial = path.with_suffix(".saving")
        if _rank() == 0:
            for left in (partial, path):
                shutil.rmtree(left, ignore_errors=True)
            partial.mkdir(parents=True)
        self._meet()
        states = _states(model, optimizer)
        written: Any = async_save(states, checkpoint_id=partial, process_group=self._group, no_dist=self._group is None)
        self._writing = threading.Thread(target=self._finish, args=(written, saved, partial, path), name="tamis-save")
        self._writing.start()

    def wait(self) -> None:
        """Wait until the last checkpoint is committed; all ranks call this.

        Raises:
            TamisError: it could not be written.
        """
        if self._writing is not None:
            self._writing.join()
            self._writing = None
        failure, self._failure = self._failure, None
        if found := self._first(failure):
            raise TamisError(f"{self.folder}: the checkpoint could not be written ({found}).") from failure

    def forget(self) -> None:
        """Invalidate the checkpoints of an earlier run; all ranks call this. The first save deletes their folders."""
        if _rank() == 0:
            (self.folder / POINTER).unlink(missing_ok=True)
        self._meet()

    def load(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> Saved:
        """Load the current checkpoint into a model and its optimizer, at any number of ranks.

        Raises:
            TamisError: there is none, it is corrupt, or it is of another model.
        """
        self.wait()
        pointer = read_pointer(self.folder, self.identity)
        path = self.folder / pointer["folder"]
        try:
            _verify(path, share=(_rank(), _size()))
            wrong = None
        except TamisError as error:
            wrong = error
        if found := self._first(wrong):
            raise TamisError(found)
        states = _states(model, optimizer)
        load(states, checkpoint_id=path, process_group=self._group, no_dist=self._group is None)
        set_state_dict(model, optimizer, model_state_dict=states["model"], optim_state_dict=states["optimizer"])
        return Saved(step=pointer["step"], tokens=pointer["tokens"], sampler=pointer["sampler"])

    def _finish(self, written: Future[Any], saved: Saved, partial: Path, path: Path) -> None:
        """Commit a checkpoint when it is written; runs in a thread."""
        try:
            written.result()
            if _rank() == 0:
                self._commit(saved, partial, path)
        except BaseException as error:  # raised by the next save, or at the end
            self._failure = error

    def _commit(self, saved: Saved, partial: Path, path: Path) -> None:
        digests = {file.name: file_digest(file) for file in sorted(partial.iterdir())}
        write_json(partial / MANIFEST, {**RECORD, "files": digests})
        partial.rename(path)
        before: dict[str, Any] = (
            read_json(self.folder / POINTER) if (self.folder / POINTER).exists() else {"kept": [], "tokens": 0}
        )
        kept = [name for name in before["kept"] if (self.folder / name).is_dir()]
        every = self.keep_every_tokens
        if every and saved.tokens // every > before["tokens"] // every:
            kept.append(path.name)
        pointer = {**RECORD, "folder": path.name, "kept": kept, "identity": self.identity}
        write_json(
            self.folder / POINTER, {**pointer, "step": saved.step, "tokens": saved.tokens, "sampler": saved.sampler}
        )
        for old in self.folder.glob("checkpoint-*"):
            if old.is_dir() and old.name not in (path.name, *kept):
                shutil.rmtree(old)

    def _first(self, error: BaseException | None) -> str | None:
        """The error of the first rank that has one, on every rank, so that all raise and none waits for another."""
        told: list[str | None] = [None if error is None else str(error) or repr(error)]
        if self._group is not None:
            told *= _size()
            dist.all_gather_object(told, told[0], group=self._group)
        return next((one for one in told if one is not None), None)

    def _meet(self) -> None:
        if self._group is not None:
            dist.barrier(group=self._group)


def read_pointer(folder: Path, identity: dict[str, Any] | None = None) -> dict[str, Any]:
    """The content of `checkpoint.json`.

    Raises:
        TamisError: there is no checkpoint, it is of another version, or of another identity.
    """
    if not (folder / POINTER).exists():
        raise TamisError(f"{folder}: holds no checkpoint to resume from; train without --resume first.")
    pointer = read_json(folder / POINTER)
    if "folder" not in pointer:
        raise TamisError(f"{folder / POINTER}: is of an earlier version of Tamis; train anew.")
    for key, wanted in (identity or {}).items():
        found = pointer["identity"].get(key)
        if isinstance(found, dict) and isinstance(wanted, dict):
            found = {name: value for name, value in found.items() if name in wanted}
            differing = next((name for name in wanted if found.get(name) != wanted[name]), None)
            if differing is not None:
                key, found, wanted = f"{key}.{differing}", found.get(differing), wanted[differing]
        if found != wanted:
            raise TamisError(f"{folder / POINTER}: found {key} {found}; expected that of this run, {wanted}")
    return pointer


def read_weights(folder: Path, step: int | None = None) -> dict[str, torch.Tensor]:
    """Weights, whole, in this process: name → tensor; of the current checkpoint, or of one that was kept.

    Raises:
        ConfigError: there is no checkpoint of that step.
        TamisError: as `read_pointer`; or a file is corrupt.
    """
    pointer = read_pointer(folder)
    steps = {pointer["step"]: folder / pointer["folder"]}
    steps |= {int(name.rpartition("-")[2]): folder / name for name in pointer["kept"]}
    wanted = pointer["step"] if step is None else step
    if wanted not in steps:
        held = ", ".join(str(number) for number in sorted(steps))
        raise ConfigError(f"checkpoint: found {wanted}, of which {folder} has none; expected {held}")
    path = steps[wanted]
    _verify(path)
    states: dict[str, Any] = {}
    _load_state_dict(states, FileSystemReader(path), planner=_EmptyStateDictLoadPlanner(keys={"model"}), no_dist=True)
    found: dict[str, torch.Tensor] = states["model"]
    return found


def _verify(path: Path, share: tuple[int, int] = (0, 1)) -> None:
    """Check the sha256 of files; `share` = (rank, ranks), each rank checks a part of them."""
    if not (path / MANIFEST).exists():
        raise TamisError(f"{path}: is missing or corrupt, though {POINTER} names it.")
    files = sorted(read_json(path / MANIFEST)["files"].items())
    for name, digest in files[share[0] :: share[1]]:
        if not (path / name).exists() or file_digest(path / name) != digest:
            raise TamisError(f"{path / name}: is missing or corrupt, its sha256 is not that of {MANIFEST}.")


def _states(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """The states of model and optimizer by parameter names, sharded as they are on the ranks."""
    first, second = get_state_dict(model, optimizer)
    return {"model": first, "optimizer": second}


def _rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def _size() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1

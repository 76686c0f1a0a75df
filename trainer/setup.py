"""Setting up a training run: data, model, optimizer, ranks, checkpoints."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import torch

from sampler.mixture import Mixture
from sampler.prepare import HOLDOUT, Prepared, prepare, split_streams
from sampler.stream.mixture_stream import MixtureStream
from sampler.stream.state import position_of
from tamis.errors import ConfigError
from tamis.progress import Progress
from trainer.attention import choose_kernel
from trainer.checkpoint import Checkpoints
from trainer.config import TrainConfig
from trainer.evaluation.loss import whole_epoch
from trainer.metrics import Metrics
from trainer.model import Transformer, parameter_count
from trainer.optim import build_optimizer
from trainer.parallel import World, check_layout, open_world, parallelise
from trainer.tensorboard import open_tensorboard
from trainer.utilisation import Rates, measure_rates


@dataclass(kw_only=True)
class TrainingRun:
    """The open objects and the progress of a training run."""

    config: TrainConfig
    steps: int
    folder: Path
    prepared: Prepared
    train: MixtureStream
    heldout: MixtureStream
    heldout_samples: int
    note: str
    model: Transformer
    optimizer: torch.optim.Optimizer
    world: World
    checkpoints: Checkpoints
    metrics: Metrics
    parameters: int
    rates: Rates
    first_step: int = 0
    position: int = 0

    @property
    def device(self) -> torch.device:
        """Where the model lies."""
        return self.world.device


def build(
    config: TrainConfig, mixture: Mixture, run: Path, steps: int | None, resume: bool, progress: Progress
) -> TrainingRun:
    """Open data, model and optimizer, at step 0 or at the checkpoint; rank 0 first builds missing bins for all."""
    world = _join(config)
    if world.rank == 0:
        prepared = prepare(run, mixture, progress)
    world.meet()
    if world.rank:
        prepared = prepare(run, mixture)
    train_stream, heldout, chosen_here = split_streams(prepared)
    note = f"the run has no held-out split: {HOLDOUT:.0%} of its documents, chosen by hash, serve as one"
    return assemble(config, prepared, train_stream, heldout, steps, resume, note if chosen_here else "", world)


def assemble(
    config: TrainConfig,
    prepared: Prepared,
    train_stream: MixtureStream,
    heldout: MixtureStream,
    steps: int | None = None,
    resume: bool = False,
    note: str = "",
    world: World | None = None,
) -> TrainingRun:
    """A training run over given streams; `heldout` may be other text, encoded with the same tokenizer."""
    steps = config.steps if steps is None else steps
    train_stream.require(steps * config.global_batch)
    world = world or _join(config)
    vocab_size = prepared.tokenizer.vocab_size
    for phase in train_stream.phases:
        check_layout(config.model, config.parallel, vocab_size, phase.length)
    model = Transformer(config.model, vocab_size, config.seed).to(world.device)
    parameters = parameter_count(model)
    compiled = world.device.type == "cuda" if config.compile == "auto" else config.compile
    parallelise(model, world, config.parallel, compiled=compiled)
    optimizer = build_optimizer(model, config.optimizer)
    folder = prepared.run / "train" / config.name
    identity = {"model": config.model.shape, "tokenizer": prepared.tokenizer.digest}
    checkpoints = Checkpoints(folder, identity, config.keep_every_tokens)
    if not resume:
        checkpoints.forget()
    saved = checkpoints.load(model, optimizer) if resume else None
    first_step, position = (saved.step, position_of(train_stream, saved.sampler)) if saved else (0, 0)
    board = open_tensorboard(folder / "tensorboard", first_step) if config.tensorboard and world.rank == 0 else None
    return TrainingRun(
        config=config,
        steps=steps,
        folder=folder,
        prepared=prepared,
        train=train_stream,
        heldout=heldout,
        heldout_samples=whole_epoch(heldout, config.heldout_sequences),
        note=note,
        model=model,
        optimizer=optimizer,
        world=world,
        checkpoints=checkpoints,
        metrics=Metrics(folder / "metrics.jsonl", first_step, position, writes=world.rank == 0, board=board),
        parameters=parameters,
        rates=measure_rates(config.model, vocab_size, world.device, world.size),
        first_step=first_step,
        position=position,
    )


def _join(config: TrainConfig) -> World:
    device = choose_device(config.device)
    check_trainable(config, device)
    return open_world(config.parallel, device, 2 * config.stall_seconds)


def check_trainable(config: TrainConfig, device: torch.device) -> None:
    """Refuse at once a config that would fail in the first step.

    Raises:
        ConfigError: no kernel, or no compiler, for this device.
    """
    if device.type == "cpu" and config.model.attention == "flex":
        raise ConfigError("model.attention: found 'flex', which has no backward pass on a CPU; expected auto, sdpa")
    choose_kernel(config.model.attention, device, config.model.position == "alibi")
    if device.type == "cpu" and config.compile is True and not any(map(shutil.which, ("g++", "clang++", "c++"))):
        raise ConfigError("compile: found true, but there is no C++ compiler for the CPU; expected auto, false")


def choose_device(name: str) -> torch.device:
    """The device of a config; `auto` takes a GPU if there is one.

    Raises:
        ConfigError: the config asks for cuda, and there is no GPU.
    """
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise ConfigError("device: found 'cuda', but torch finds no GPU; expected auto, cpu")
    return torch.device("cuda" if available and name != "cpu" else "cpu")

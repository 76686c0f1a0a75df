"""The loop: parse, build, train, close.

The position in the data is the step times the global batch; nothing else has to be kept to go on. A resumed
run takes the same steps as one that was never stopped. On a GPU the forward pass runs in bfloat16 with
float32 weights. Cost: the model's; the sampler takes well under a millisecond of a step.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from corpus.errors import ConfigError, TamisError
from corpus.files import write_json
from sampler.mixture import Mixture
from sampler.prepare import HOLDOUT, Prepared, prepare, split_streams
from sampler.progress import Progress, silent
from sampler.state import position_of, state_at
from sampler.stream import MixtureStream
from trainer.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from trainer.config import TrainConfig
from trainer.evaluate import mean_loss, stream_loss, whole_epoch
from trainer.metrics import Metrics, text_chart, write_chart
from trainer.model import Transformer, parameter_count
from trainer.optim import build_optimizer, learning_rate, set_learning_rate
from trainer.unigram import count_tokens, predicted, unigram_loss

Report = Callable[[dict[str, Any]], None]


@dataclass(kw_only=True)
class Run:
    """Everything a training run holds open."""

    config: TrainConfig
    steps: int
    folder: Path
    prepared: Prepared
    train: MixtureStream
    heldout: MixtureStream
    heldout_samples: int
    note: str
    model: Transformer
    optimizer: torch.optim.AdamW
    device: torch.device
    first_step: int
    metrics: Metrics


def train(
    config: TrainConfig,
    mixture: Mixture,
    run: Path,
    *,
    steps: int | None = None,
    resume: bool = False,
    stop_after: int | None = None,
    progress: Progress = silent,
    report: Report = lambda row: None,
) -> dict[str, Any]:
    """Train a model on a run and judge it against the unigram model.

    Args:
        config: model, optimizer and length.
        mixture: the data.
        run: the run folder; results go to `RUN/train/<name>`.
        steps: instead of the config's; also the length of the schedule.
        resume: go on from the checkpoint.
        stop_after: stop at this step with a checkpoint, as if interrupted; the schedule stays that of
            `steps`.
        progress: called while tokenizer and bins are made.
        report: called with each step's numbers.

    Returns:
        The summary: steps, tokens, losses, and whether the model beats the unigram model.

    Raises:
        ConfigError: the config, the mixture and the run do not fit.
        TamisError: the loss is not finite, or a file is corrupt.
    """
    started = time.perf_counter()
    state = build(config, mixture, run, steps, resume, progress)
    try:
        last = take_steps(state, min(state.steps, stop_after or state.steps), report)
        return close(state, last, time.perf_counter() - started)
    finally:
        state.metrics.close()


def build(config: TrainConfig, mixture: Mixture, run: Path, steps: int | None, resume: bool, progress: Progress) -> Run:
    """Open data, model and optimizer, at step 0 or at the checkpoint."""
    prepared = prepare(run, mixture, progress)
    train_stream, heldout, chosen_here = split_streams(prepared)
    note = f"the run has no held-out split: {HOLDOUT:.0%} of its documents, chosen by hash, serve as one"
    return assemble(config, prepared, train_stream, heldout, steps, resume, note if chosen_here else "")


def assemble(
    config: TrainConfig,
    prepared: Prepared,
    train_stream: MixtureStream,
    heldout: MixtureStream,
    steps: int | None = None,
    resume: bool = False,
    note: str = "",
) -> Run:
    """A run of given streams: `heldout` may be of other text than the run's, under the same tokenizer."""
    steps = config.steps if steps is None else steps
    train_stream.require(steps * config.global_batch)
    device = choose_device(config.device)
    model = Transformer(config.model, prepared.tokenizer.vocab_size, config.seed).to(device)
    optimizer = build_optimizer(model, config.optimizer)
    folder = prepared.run / "train" / config.name
    first = restore(folder, config, train_stream, model, optimizer, device) if resume else 0
    return Run(
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
        device=device,
        first_step=first,
        metrics=Metrics(folder / "metrics.jsonl", first),
    )


def take_steps(state: Run, stop: int, report: Report) -> int:
    """Train up to step `stop`; returns the number of steps taken since the very beginning."""
    config = state.config
    for step in range(state.first_step, stop):
        begun = time.perf_counter()
        rate = learning_rate(step, state.steps, config.optimizer)
        loss, norm = _step(state, step, rate)
        seconds = time.perf_counter() - begun
        done, before = ((step + more) * config.global_batch for more in (1, 0))
        tokens = state.train.tokens_until(done)
        row: dict[str, Any] = {"step": step, "loss": loss, "gradient_norm": norm, "learning_rate": rate}
        row |= {"tokens": tokens, "tokens_per_second": round((tokens - state.train.tokens_until(before)) / seconds)}
        if (step + 1) % config.heldout_steps == 0 or step + 1 == stop:
            row["heldout_loss"] = heldout_loss(state)
        state.metrics.add(row)
        report(row)
        if step + 1 == stop or (config.checkpoint_steps and (step + 1) % config.checkpoint_steps == 0):
            _save(state, step + 1)
    return max(stop, state.first_step)


def _step(state: Run, step: int, rate: float) -> tuple[float, float]:
    """One update; returns loss and gradient norm before clipping."""
    config = state.config
    begin, end = step * config.global_batch, (step + 1) * config.global_batch
    loss = stream_loss(state.model, state.train, begin, end, state.prepared.tokenizer.eos_id)
    count = loss.tokens.clamp(min=1)
    mean, value = loss.objective / count, float(loss.nats / count)
    if not math.isfinite(value):
        raise TamisError(
            f"the loss at step {step} is {value} (allowed: a finite number): the last checkpoint stands; "
            f"try a smaller optimizer.max_learning_rate than {config.optimizer.max_learning_rate:g}."
        )
    state.optimizer.zero_grad(set_to_none=True)
    mean.backward()
    norm = torch.nn.utils.clip_grad_norm_(state.model.parameters(), config.optimizer.clip_norm)
    set_learning_rate(state.optimizer, rate)
    state.optimizer.step()
    return value, float(norm)


def heldout_loss(state: Run) -> float:
    """Mean loss over the held-out sequences, nats a token."""
    rows, eos = state.config.global_batch, state.prepared.tokenizer.eos_id
    return mean_loss(state.model, state.heldout, state.heldout_samples, rows, eos)


def close(state: Run, steps: int, seconds: float) -> dict[str, Any]:
    """Judge the model, write summary and chart."""
    unigram = _unigram(state, steps)
    rows = state.metrics.rows
    heldout = next((row["heldout_loss"] for row in reversed(rows) if "heldout_loss" in row), heldout_loss(state))
    losses = [row["loss"] for row in rows]
    summary = {
        "name": state.config.name,
        "steps": steps,
        "tokens": state.train.tokens_until(steps * state.config.global_batch),
        "parameters": parameter_count(state.model),
        "vocab_size": state.prepared.tokenizer.vocab_size,
        "device": str(state.device),
        "loss": losses[-1] if losses else None,
        "heldout_loss": heldout,
        "unigram_loss": unigram,
        "beats_unigram": heldout < unigram,
        "epochs": {n: round(e, 4) for n, e in state.train.epochs_needed(steps * state.config.global_batch).items()},
        "seconds": round(seconds, 2),
        "heldout_note": state.note,
        "folder": str(state.folder),
    }
    write_json(state.folder / "summary.json", {k: v for k, v in summary.items() if k not in ("seconds", "folder")})
    write_chart(state.folder / "loss.html", rows, unigram, f"{state.config.name}: loss")
    return summary | {"chart": text_chart(losses, unigram)}


def restore(
    folder: Path,
    config: TrainConfig,
    stream: MixtureStream,
    model: Transformer,
    optimizer: torch.optim.AdamW,
    device: torch.device,
) -> int:
    """Load the checkpoint; returns the step to go on with."""
    saved = load_checkpoint(folder, _identity(config, stream), device)
    position = position_of(stream, saved.sampler)
    if position != saved.step * config.global_batch:
        raise TamisError(f"{folder}: its checkpoint is at step {saved.step}, its sampler at sample {position}.")
    model.load_state_dict(saved.model)
    optimizer.load_state_dict(saved.optimizer)
    return saved.step


def choose_device(name: str) -> torch.device:
    """The device of a config; `auto` takes a GPU where there is one.

    Raises:
        ConfigError: cuda is asked for and absent.
    """
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise ConfigError("key `device` is 'cuda', but torch finds no GPU (allowed: auto, cpu).")
    return torch.device("cuda" if available and name != "cpu" else "cpu")


def _save(state: Run, step: int) -> None:
    checkpoint = Checkpoint(
        step=step,
        sampler=state_at(state.train, step * state.config.global_batch),
        model=state.model.state_dict(),
        optimizer=state.optimizer.state_dict(),
    )
    save_checkpoint(state.folder, checkpoint, _identity(state.config, state.train))


def _identity(config: TrainConfig, stream: MixtureStream) -> dict[str, Any]:
    return {
        "model": config.model.model_dump(),
        "global_batch": config.global_batch,
        "manifest": stream.manifest,
    }


def _unigram(state: Run, steps: int) -> float:
    """The unigram model's held-out loss, its counts from the very tokens of the steps taken."""
    rows, eos, masked = (
        state.config.global_batch,
        state.prepared.tokenizer.eos_id,
        state.config.model.document_mask,
    )
    size = state.prepared.tokenizer.vocab_size
    seen = (predicted(state.train.batch(step * rows, (step + 1) * rows), eos, masked) for step in range(steps))
    held = predicted(state.heldout.batch(0, state.heldout_samples), eos, masked)
    return unigram_loss(count_tokens(seen, size), count_tokens([held], size))

"""The training loop: build, train, close.

The position in the data is one number, the sampler's. A checkpoint has the step, the position and the states of model
and optimizer, so that a resumed run takes the same steps as one that was never stopped, at any number of ranks. Each
rank reads its slice of the global batch from a prefetching thread; the loss is divided by the tokens of the whole
global batch.

A step whose loss or gradient is not finite, or whose loss is far above the last ones, is not taken: its data is
skipped, and an event is recorded. After several such steps in a row the run returns to its last checkpoint and
continues with the data that it has reached.

On a GPU the forward pass runs in bfloat16 with float32 weights and optimizer.
"""

from __future__ import annotations

import contextlib
import faulthandler
import io
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from corpus.files import write_json
from sampler.loader import Prefetch
from sampler.mixture import Mixture
from sampler.stream.batch import Batch
from sampler.stream.mixture_stream import RankStream
from sampler.stream.state import state_at
from sampler.torch_data import Item, tensors, to_device
from tamis.errors import TamisError
from tamis.extras import look_for
from tamis.progress import SILENT, Progress
from tamis.version import RECORD
from trainer.checkpoint import Saved
from trainer.config import TrainConfig
from trainer.evaluation.heldout import domain_losses
from trainer.evaluation.loss import item_loss
from trainer.evaluation.unigram import count_tokens, predicted, unigram_loss
from trainer.facts import write_facts
from trainer.metrics import ALARM, ENDED, SKIPPED, WENT_BACK, loss_chart, steady_median
from trainer.optim import learning_rate, set_learning_rate
from trainer.scaling.law import training_flops
from trainer.scaling.loss_band import LossBand
from trainer.setup import TrainingRun, build
from trainer.spikes import SpikeGuard

Report = Callable[[dict[str, Any]], None]
MOST_WAYS_BACK = 3
"""A run returns to the same checkpoint at most so often before it gives up."""
REMEMBERED = 64
"""So many losses from before a resume are the baseline of the spike guard after it."""
UNIGRAM_TOKENS = 50_000_000
"""The unigram model counts only so many of the training tokens, the first: more would not change its loss."""


def train(
    config: TrainConfig,
    mixture: Mixture,
    run: Path,
    *,
    steps: int | None = None,
    resume: bool = False,
    stop_after: int | None = None,
    progress: Progress = SILENT,
    report: Report = lambda row: None,
) -> dict[str, Any]:
    """Train a model on a run and compare it with the unigram model; results go to `RUN/train/<name>`.

    Args:
        config: model, optimizer and length.
        mixture: the data.
        run: the run folder.
        steps: overrides the config's; also the length of the schedule.
        resume: continue from the checkpoint.
        stop_after: stop at this step with a checkpoint, as if interrupted; the schedule stays that of `steps`.
        progress: where the making of tokenizer and bins is reported to.
        report: called with each step's numbers, on rank 0.

    Returns:
        The summary: steps, tokens, losses, and whether the model beats the unigram model.

    Raises:
        ConfigError: the config, the mixture and the run do not fit.
        TamisError: the loss stays not finite, or a file is corrupt.
    """
    started = time.perf_counter()
    state = build(config, mixture, run, steps, resume, progress)
    write_facts(state)
    try:
        progress.start(f"training {config.name}", state.steps)
        last = take_steps(state, min(state.steps, stop_after or state.steps), report)
        progress.finish()
        state.checkpoints.wait()
        return close(state, last, time.perf_counter() - started)
    finally:
        state.metrics.close()


def take_steps(state: TrainingRun, stop: int, report: Report) -> int:
    """Train up to step `stop`; returns the number of steps taken since the very beginning."""
    config, guard = state.config, SpikeGuard(factor=state.config.spike_factor)
    step, steps, band = state.first_step, steps_of(state), _band(state)
    report = report if state.world.rank == 0 else lambda row: None  # only rank 0 reports
    went_back: Counter[int] = Counter()
    saved = state.first_step
    for taken in state.metrics.rows[-REMEMBERED:]:
        guard.remember(taken["loss"])
    try:
        while step < stop:
            begun = time.perf_counter()
            _tell_if_stalled(config.stall_seconds)
            parts = next(steps, None)
            if parts is None:
                event = f"the mixture ended at sample {state.position:,}: the run ends here, {stop - step} steps short"
                _record(state, report, step, ENDED, event, {"step": step})
                break
            waited = time.perf_counter() - begun
            if any(0 <= phase.start - state.position < config.global_batch for phase in state.train.phases[1:]):
                guard.forget()
            rate = learning_rate(step, state.steps, config.optimizer)
            before = state.train.tokens_until(state.position)
            state.position += config.global_batch
            loss, norm, reason = take_step(state, parts, rate, guard)
            row: dict[str, Any] = {"step": step, "loss": loss, "gradient_norm": norm, "learning_rate": rate}
            if reason is not None:
                kind, event = SKIPPED, f"{reason}: the step was not taken, its data is passed over"
                if guard.exhausted:
                    kind, (step, event) = WENT_BACK, _go_back(state, step, reason)
                    guard.forget()
                    went_back[step] += 1
                    if went_back[step] > MOST_WAYS_BACK:
                        raise TamisError(_no_way(config, reason, step))
                    steps.close()
                    steps, band = steps_of(state), _band(state)
                _record(state, report, step, kind, event, {**row, "tokens_per_second": 0})
                continue
            tokens = state.train.tokens_until(state.position)
            row |= _speed(state, tokens, tokens - before, time.perf_counter() - begun, waited)
            step += 1
            if step % config.heldout_steps == 0 or step == stop:
                row |= judge(state)
            state.metrics.add(row)
            report(row)
            if band is not None and (alarm := band.add(tokens, loss)) is not None:
                event = f"the loss, {alarm.loss:.3f}, has left the predicted {alarm.low:.3f} to {alarm.high:.3f}"
                _record(state, report, step - 1, ALARM, event, row)
            if step == stop or (config.checkpoint_steps and step % config.checkpoint_steps == 0):
                _save(state, step, tokens)
                saved = step
        if saved < step < stop:  # the mixture ended first
            _save(state, step, state.train.tokens_until(state.position))
    finally:
        faulthandler.cancel_dump_traceback_later()
        steps.close()
    return step


def _record(state: TrainingRun, report: Report, step: int, kind: str, event: str, row: dict[str, Any]) -> None:
    """Write an event, and report it with the numbers of its step."""
    state.metrics.event({"step": step, "position": state.position, "kind": kind, "event": event})
    report({**row, "event": event})


def _speed(state: TrainingRun, tokens: int, new: int, seconds: float, waited: float) -> dict[str, Any]:
    """The speed of a step: `new` tokens in `seconds`, `waited` of them for data. `tokens`: of the run so far."""
    per_second = round(new / seconds)
    return {
        "tokens": tokens,
        "tokens_per_second": per_second,
        "seconds": round(seconds, 4),
        "loader_seconds": round(waited, 4),
        **state.rates.of(per_second, new / state.config.global_batch),
    }


def _band(state: TrainingRun) -> LossBand | None:
    """The predicted band around the loss, fed with the losses from before a resume."""
    if not state.config.loss_band:
        return None
    look_for("scipy", extra="train", for_="loss_band: true")
    band = LossBand(warmup_steps=state.config.optimizer.warmup_steps)
    for row in state.metrics.rows:
        band.add(row["tokens"], row["loss"])
    return band


def _tell_if_stalled(seconds: float) -> None:
    """Write every thread's stack to stderr if no step ends within so many seconds."""
    with contextlib.suppress(io.UnsupportedOperation):  # in a notebook stderr is not a file
        faulthandler.dump_traceback_later(seconds, exit=False)


def steps_of(state: TrainingRun) -> Generator[list[Item]]:
    """This rank's steps from the current position on, prefetched, each as micro-batches on its device."""
    world, config = state.world, state.config
    ranked = RankStream(state.train, world.data_rank, world.data_size, config.global_batch, state.position)
    each = -(-ranked.rows // (config.micro_rows or ranked.rows))
    with Prefetch(ranked) as batches:
        items = to_device(micro_batches(state, batches), world.device)
        while parts := list(islice(items, each)):
            yield parts


def micro_batches(state: TrainingRun, batches: Iterable[Batch]) -> Generator[Item]:
    """A rank's batches in parts of `micro_rows` rows, with the number of tokens that each part predicts."""
    config, eos = state.config, state.prepared.tokenizer.eos_id
    for batch in batches:
        rows = len(batch.used)
        size = config.micro_rows or rows
        for low in range(0, rows, size):
            part = batch.rows(low, min(low + size, rows))
            yield {**tensors(part), "predicted": len(predicted(part, eos, config.model.document_mask))}


def take_step(
    state: TrainingRun, parts: Sequence[Item], rate: float, guard: SpikeGuard
) -> tuple[float, float, str | None]:
    """One update, unless it is refused; returns loss, gradient norm before clipping, and why it was refused."""
    config, world = state.config, state.world
    eos = state.prepared.tokenizer.eos_id
    predicts = torch.full((), sum(part["predicted"] for part in parts), device=world.device)
    tokens = world.summed(predicts).clamp(min=1)
    state.optimizer.zero_grad(set_to_none=True)
    nats = torch.zeros((), device=world.device)
    for number, part in enumerate(parts):
        if hasattr(state.model, "set_requires_gradient_sync"):  # sharded: reduce gradients after the last part only
            sync: Any = state.model.set_requires_gradient_sync
            sync(config.parallel.reduce_each or number + 1 == len(parts))
        loss = item_loss(state.model, config.model, part, eos)
        (loss.objective * world.data_size / tokens).backward()
        nats += loss.nats.detach()
    gradients = [weight.grad for weight in state.model.parameters() if weight.grad is not None]
    norm: Any = torch.nn.utils.get_total_norm(gradients)
    norm = norm.full_tensor() if hasattr(norm, "full_tensor") else norm
    value, length = world.agreed(torch.stack([world.summed(nats) / tokens, norm]))
    reason = guard.refuse(value, length)
    if reason is None:
        if length > config.optimizer.clip_norm:
            for gradient in gradients:
                gradient.mul_(config.optimizer.clip_norm / length)
        set_learning_rate(state.optimizer, rate)
        state.optimizer.step()
    return value, length, reason


def _go_back(state: TrainingRun, step: int, reason: str) -> tuple[int, str]:
    """Load the last checkpoint, but keep the position in the data; returns its step and the text of the event.

    Raises:
        TamisError: there is no checkpoint.
    """
    try:
        saved = state.checkpoints.load(state.model, state.optimizer)
    except TamisError as error:
        raise TamisError(
            f"at step {step} {reason}, for several batches in a row, and there is no checkpoint to go back to; try a "
            f"smaller optimizer.max_learning_rate than {state.config.optimizer.max_learning_rate:g}"
        ) from error
    state.metrics.drop(saved.step)
    return saved.step, f"{reason}, several times in a row: back to step {saved.step}, on with the data from here"


def _no_way(config: TrainConfig, reason: str, step: int) -> str:
    return (
        f"{reason}, and the run has gone back to step {step} {MOST_WAYS_BACK} times; try a smaller "
        f"optimizer.max_learning_rate than {config.optimizer.max_learning_rate:g}, or a larger spike_factor than "
        f"{config.spike_factor:g}"
    )


def judge(state: TrainingRun) -> dict[str, Any]:
    """Loss over the held-out sequences, whole and by domain, nats a token; epochs of each domain so far."""
    config, eos = state.config, state.prepared.tokenizer.eos_id
    rows = min(config.global_batch, (config.micro_rows or config.global_batch) * state.world.data_size)
    found = domain_losses(state.model, state.heldout, state.heldout_samples, rows, eos, state.world)
    epochs = {name: round(epochs, 4) for name, epochs in state.train.epochs_needed(state.position).items()}
    return {"heldout_loss": found.loss, "heldout_by_domain": found.by_domain, "epochs": epochs}


def close(state: TrainingRun, steps: int, seconds: float) -> dict[str, Any]:
    """Evaluate the model and write the summary."""
    unigram = _unigram(state)
    rows = state.metrics.rows
    judged = next((row for row in reversed(rows) if "heldout_by_domain" in row), None) or judge(state)
    heldout = judged["heldout_loss"]
    losses = [row["loss"] for row in rows]
    tokens = state.train.tokens_until(state.position)
    length = tokens / max(state.position, 1)  # the mean, if phases differ
    summary = {
        **RECORD,
        "name": state.config.name,
        "steps": steps,
        "tokens": tokens,
        "sequence_length": length,
        "flops": training_flops(state.config.model, state.prepared.tokenizer.vocab_size, length, tokens),
        "parameters": state.parameters,
        "vocab_size": state.prepared.tokenizer.vocab_size,
        "ranks": state.world.size,
        "device": str(state.device),
        "loss": losses[-1] if losses else None,
        "heldout_loss": heldout,
        "heldout_by_domain": judged["heldout_by_domain"],
        "unigram_loss": unigram,
        "beats_unigram": heldout < unigram,
        "skipped_steps": sum(event.get("kind") in (SKIPPED, WENT_BACK) for event in state.metrics.events),
        "epochs": {name: round(e, 4) for name, e in state.train.epochs_needed(state.position).items()},
        "seconds": round(seconds, 2),
        "heldout_note": state.note,
        "folder": str(state.folder),
    }
    if state.world.rank == 0:
        write_json(state.folder / "summary.json", {k: v for k, v in summary.items() if k not in ("seconds", "folder")})
    measured = {key: steady_median(rows, key) for key in ("mfu", "mfu_gemm", "loader_seconds", "tokens_per_second")}
    return summary | state.rates.describe() | measured | {"chart": loss_chart(losses, unigram)}


def _save(state: TrainingRun, step: int, tokens: int) -> None:
    saved = Saved(step=step, tokens=tokens, sampler=state_at(state.train, state.position))
    state.checkpoints.save(saved, state.model, state.optimizer)


def _unigram(state: TrainingRun) -> float:
    """The held-out loss of a unigram model that is fitted to the first tokens of the run's training data."""
    rows, eos = state.config.global_batch, state.prepared.tokenizer.eos_id
    masked, size = state.config.model.document_mask, state.prepared.tokenizer.vocab_size
    length = max(phase.length for phase in state.train.phases)
    stop = min(state.position, max(rows, UNIGRAM_TOKENS // length))
    starts = range(0, stop, rows)
    seen = (predicted(state.train.batch(low, min(low + rows, stop)), eos, masked) for low in starts)
    held = predicted(state.heldout.batch(0, state.heldout_samples), eos, masked)
    return unigram_loss(count_tokens(seen, size), count_tokens([held], size))

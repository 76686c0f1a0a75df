"""The facts about a training run that its report needs and that no step changes, in `training.json`.

`device.json` has the measured speed of the device, in a file of its own as it differs each time. Both are written
before the first step, so that there can be a report of a run that is still going on, or that was killed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from corpus.files import read_json, write_json
from tamis.version import RECORD
from trainer.config import POINTER, TrainConfig
from trainer.metrics import CHANGED
from trainer.setup import TrainingRun

FACTS, DEVICE = "training.json", "device.json"


def write_facts(state: TrainingRun) -> None:
    """Write the facts, on rank 0; the summary of an earlier run, which they do not belong to, is removed."""
    if state.world.rank == 0:
        state.folder.mkdir(parents=True, exist_ok=True)
        (state.folder / "summary.json").unlink(missing_ok=True)
        _tell_changes(state)
        write_json(state.folder / FACTS, facts_of(state))
        write_json(state.folder / DEVICE, state.rates.describe())


def _tell_changes(state: TrainingRun) -> None:
    """Record an event if a resume changes the schedule, which is allowed but makes the learning rate jump."""
    if not state.first_step or not (state.folder / FACTS).is_file():
        return
    before = read_json(state.folder / FACTS)
    here = {"steps": state.steps, "global_batch": state.config.global_batch}
    there = {"steps": before["steps"], "global_batch": before["config"]["global_batch"]}
    for key in here:
        if here[key] != there[key]:
            event = f"resumed with {key} {here[key]:,}, before it was {there[key]:,}"
            state.metrics.event({"step": state.first_step, "position": state.position, "kind": CHANGED, "event": event})


def training_progress(folder: Path, config: TrainConfig, manifest: str) -> Literal["new", "begun", "finished"]:
    """How far a training has come in a folder; if the folder has another config or other data, it is new.

    `manifest` is the hash of the stream to train on.
    """
    if not (folder / FACTS).is_file():
        return "new"
    facts = read_json(folder / FACTS)
    same = facts["config"] == config.model_dump(mode="json") and facts["manifest"] == manifest
    if not same or facts["steps"] != config.steps:
        return "new"
    if (folder / "summary.json").is_file():
        return "finished"
    return "begun" if (folder / POINTER).is_file() else "new"


def facts_of(state: TrainingRun) -> dict[str, Any]:
    """The facts: of phases the start in samples, `sequence_length` and shares; other numbers by domain."""
    heldout = state.heldout
    return {
        **RECORD,
        "config": state.config.model_dump(mode="json"),
        "mixture": state.train.mixture.model_dump(mode="json", exclude={"run", "bins"}),
        "tokenizer": {"digest": state.prepared.tokenizer.digest, "vocab_size": state.prepared.tokenizer.vocab_size},
        "manifest": state.train.manifest,
        "parameters": state.parameters,
        "ranks": state.world.size,
        "device": str(state.device),
        "steps": state.steps,
        "phases": [
            {
                "start": phase.start,
                "sequence_length": phase.length,
                "shares": {k: s.weight for k, s in phase.shares.items()},
            }
            for phase in state.train.phases
        ],
        "tokens_per_epoch": {
            name: int(reader.documents.tokens_per_epoch)
            for phase in state.train.phases
            for name, reader in zip(phase.shares, phase.readers, strict=True)
        },
        "heldout_sequences": heldout.counts_in(heldout.phases[0], state.heldout_samples),
        "heldout_note": state.note,
    }

"""The sampler's state, to resume from: one small JSON, the same on every rank.

The position alone decides what comes next. The state also holds how many sequences each domain has given in the phase,
so that resuming needs no replay; passes, blocks and epochs are informative. A digest covers all of it: a state that
was edited or damaged is refused.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from corpus.files import canonical_json
from sampler.stream.mixture_stream import MixtureStream
from tamis.errors import TamisError

FORMAT = 2


def state_at(stream: MixtureStream, position: int) -> dict[str, Any]:
    """The state after `position` samples.

    Returns:
        A JSON object: manifest (of the phases up to this one), seed, phase, position; for each domain the sequences of
        this phase, pass, block, unit, and epoch; digest.
    """
    phase = stream.phase_at(max(position - 1, 0))  # at a boundary the phase that ended: the next may still be edited
    counts = stream.counts_in(phase, position)
    body = {
        "format": FORMAT,
        "manifest": phase.hash,
        "seed": stream.mixture.seed,
        "phase": phase.number,
        "position": position,
        "domains": {
            name: {"sequences": count, **reader.place(count), "epoch": round(reader.epochs_after(count), 6)}
            for (name, count), reader in zip(counts.items(), phase.readers, strict=True)
        },
    }
    return {**body, "digest": _digest(body)}


def position_of(stream: MixtureStream, state: dict[str, Any]) -> int:
    """The position to continue from; the stream's blend is moved there.

    Raises:
        TamisError: the state belongs to other bins, weights or another mixture, a consumed phase was edited, or the
        state is damaged.
    """
    if state.get("format") != FORMAT:
        raise TamisError(f"sampler state: format: found {state.get('format')!r}; expected {FORMAT}")
    if state.get("digest") != _digest({name: value for name, value in state.items() if name != "digest"}):
        raise TamisError("the sampler state is damaged: its digest is not that of its contents.")
    position, number = int(state["position"]), int(state["phase"])
    phases = stream.phases
    if number >= len(phases) or phases[number].hash != state["manifest"]:
        found = phases[number].hash[:12] if number < len(phases) else f"of {len(phases)} phases"
        raise TamisError(
            f"sampler state: found manifest {str(state['manifest'])[:12]}; expected that of this mixture's phase "
            f"{number}, {found} (bins, weights, seed, or a phase that was consumed have changed since)"
        )
    phase = phases[number]
    if phase.stop is not None and position > phase.stop:
        raise TamisError(
            f"the sampler state is at sample {position:,} of phase {number}, which now ends at {phase.stop:,}: a phase "
            f"that is under way may get longer, not shorter than what was consumed."
        )
    counts = np.array([state["domains"][name]["sequences"] for name in phase.shares], np.int64)
    try:
        phase.blend.seek(position - phase.start, counts)
    except ValueError as error:
        raise TamisError(f"the sampler state is damaged: {error}.") from error
    return position


def _digest(body: dict[str, Any]) -> str:
    return hashlib.sha256(canonical_json(body)).hexdigest()

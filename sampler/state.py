"""Where a run of the sampler stands: one small JSON, the same on every rank.

The position alone decides what comes next; cursors and epochs of the domains are there for people, and are
checked when the state is taken up again.
"""

from __future__ import annotations

from typing import Any

from corpus.errors import TamisError
from sampler.stream import MixtureStream

FORMAT = 1


def state_at(stream: MixtureStream, position: int) -> dict[str, Any]:
    """The state after `position` samples.

    Returns:
        A JSON object: manifest, seed, phase, position, and sequences and epoch for each domain.
    """
    counts, epochs = stream.blend.counts(position), stream.epochs_needed(position)
    return {
        "format": FORMAT,
        "manifest": stream.manifest,
        "seed": stream.mixture.seed,
        "phase": 0,
        "position": position,
        "domains": {
            name: {"sequences": int(count), "epoch": int(epochs[name])}
            for name, count in zip(stream.domains, counts, strict=True)
        },
    }


def position_of(stream: MixtureStream, state: dict[str, Any]) -> int:
    """The position to go on from.

    Raises:
        TamisError: the state belongs to other bins, weights or another mixture.
    """
    if state.get("manifest") != stream.manifest:
        raise TamisError(
            f"the sampler state is of manifest {str(state.get('manifest'))[:12]}, not {stream.manifest[:12]} "
            f"(allowed: the same): the bins, weights or mixture have changed since."
        )
    position = state.get("position")
    if not isinstance(position, int) or position < 0:
        raise TamisError(f"the sampler state has position {position!r} (allowed: a whole number from 0).")
    if state != state_at(stream, position):
        raise TamisError(f"the sampler state is damaged: its cursors are not those of position {position}.")
    return position

"""Which ranks lie close to each other: torchrun numbers machines as they arrive, the network does not care.

A rank's place is a path from the network's core to its machine, such as (spine, leaf, machine), and then its number on
the machine. Ranks in the order of their places are laid into the mesh, so that a tensor group is within a machine, a
shard group under as few switches as there can be, and what crosses the core is what crosses least.

The path is Slurm's `SLURM_TOPOLOGY_ADDR` (`spine.leaf.machine`, of its tree plugin), or any launcher's
`TAMIS_TOPOLOGY` of the same form, which goes first; without either it is the machine's name.
"""

from __future__ import annotations

import os
import re
import socket
from collections import Counter
from collections.abc import Mapping, Sequence

from tamis.errors import ConfigError

Place = tuple[tuple[str, ...], int]
"""A path of switches that ends in a machine, and the rank's number there."""


def place_here(environment: Mapping[str, str] = os.environ) -> Place:
    """This process's place, as its launcher tells it."""
    told = environment.get("TAMIS_TOPOLOGY") or environment.get("SLURM_TOPOLOGY_ADDR") or ""
    path = tuple(part for part in told.split(".") if part) or (socket.gethostname(),)
    return path, int(environment.get("LOCAL_RANK", "0"))


def order_ranks(places: Sequence[Place], tensor: int) -> list[int]:
    """The ranks, neighbours side by side.

    Args:
        places: of every rank.
        tensor: ranks that share each layer and must share a machine.

    Raises:
        ConfigError: a machine's ranks are no multiple of `tensor`, or two ranks have one place.
    """
    for place, ranks in Counter(places).items():
        if ranks > 1:
            raise ConfigError(
                f"topology: found {ranks} ranks that are number {place[1]} of machine {'.'.join(place[0])}; expected "
                f"one; let TAMIS_TOPOLOGY or SLURM_TOPOLOGY_ADDR end in the machine's own name"
            )
    machines = Counter(path for path, _ in places)
    for path, ranks in sorted(machines.items()):
        if ranks % tensor:
            raise ConfigError(
                f"parallel.tensor: found {tensor}, and machine {'.'.join(path)} has {ranks} ranks; expected a "
                f"divisor of that, as a tensor group must not cross machines"
            )
    return sorted(range(len(places)), key=lambda rank: ([_natural(p) for p in places[rank][0]], places[rank][1], rank))


def _natural(name: str) -> list[tuple[int, int, str]]:
    """So that node9 comes before node10."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", name) if part]

"""Which ranks are close in the network: torchrun numbers machines in order of arrival, whatever the network.

A rank's place is a path from the network's core to its machine, such as (spine, leaf, machine), and its number on the
machine. The mesh is filled with ranks sorted by place, so that a tensor group is within a machine, a shard group under
as few switches as possible, and the least traffic crosses the core.

The path is `TAMIS_TOPOLOGY`, which any launcher may set, else Slurm's `SLURM_TOPOLOGY_ADDR` (`spine.leaf.machine`, from
its tree plugin), else the machine's name.
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
    """This process's place, from the launcher's environment variables."""
    told = environment.get("TAMIS_TOPOLOGY") or environment.get("SLURM_TOPOLOGY_ADDR") or ""
    path = tuple(part for part in told.split(".") if part) or (socket.gethostname(),)
    return path, int(environment.get("LOCAL_RANK", "0"))


def order_ranks(places: Sequence[Place], tensor: int) -> list[int]:
    """The ranks, by the places of all, sorted so that neighbours are adjacent.

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
    """A sort key by which node9 comes before node10."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", name) if part]

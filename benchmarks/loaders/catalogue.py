"""The loaders that are compared: the module of each, what it needs, and the interpreter that has it."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

CORPUS = Path(tempfile.gettempdir()) / "tamis-loaders" / "corpus"


@dataclass(frozen=True)
class Listed:
    """A loader: its module in `benchmarks.loaders`, what must be importable for it, and whether that is Tamis."""

    module: str
    needs: str
    ours: bool = False


PEERS = {
    "floor": Listed("memmap_floor", "torch"),
    "tamis": Listed("tamis_loader", "sampler.stream.mixture_stream, torch", ours=True),
    "megatron": Listed("megatron_core", "megatron.core.datasets.gpt_dataset"),
    "grain": Listed("grain_loader", "grain, torch"),
    "grain-memmap": Listed("grain_memmap", "grain, torch"),
    "mosaic": Listed("mosaic_streaming", "benchmarks.loaders.mosaic_streaming as m; m.load()"),
    "litdata": Listed("litdata_loader", "litdata"),
    "torchdata": Listed("torchdata_nodes", "torchdata.nodes"),
    "stateful": Listed("torchdata_stateful", "torchdata.stateful_dataloader"),
}


def interpreter_for(name: str, python: Path) -> Path:
    """Our interpreter for Tamis, that of the peers for the other tools."""
    return Path(sys.executable) if PEERS[name].ours else python


def is_there(name: str, python: Path) -> bool:
    """Whether the interpreter has the peer; prints a line if not."""
    interpreter = interpreter_for(name, python)
    command = [str(interpreter), "-c", f"import {PEERS[name].needs}"]
    found = subprocess.run(command, capture_output=True, check=False).returncode == 0
    if not found:
        print(f"{name}: skipped, {interpreter.name} does not have it", file=sys.stderr)
    return found

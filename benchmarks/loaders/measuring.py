"""One loader's figures: speed, first batch, resume, memory, drift.

Two processes: the first converts and opens the loader cold, so that an index is built and timed; the second imports,
opens and reads as a training process would. Speed counts `sequence_length` tokens a sample; three parts are timed after
a warm-up, and the best and the median are reported. Nothing is done with the batches.

torch uses one thread, as under torchrun: a batch is too small to share, and two threads that wait for each other on
busy cores are many times slower. Threads of the loader itself are not limited.

Private memory is `Anonymous` of /proc/self/smaps_rollup after the third part, less its value after the imports; pages
mapped from files do not count. Beside it stands USS (`Private_Clean` + `Private_Dirty`), in which they count unless
another process maps them too. Linux only.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.loaders.common import Corpus, Peer, Setup
from benchmarks.loaders.identity import drift_of
from benchmarks.tools.library import library
from benchmarks.tools.timing import timed

WARM_UP = 50
STRETCHES = 3
DRIFT_SAMPLES = 16_000


def run(peer: Peer, module: str) -> None:
    """The command line of every loader."""
    parser = argparse.ArgumentParser(description=f"Measures {peer.name}.")
    parser.add_argument("corpus", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--sequence-length", type=int, default=4096)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--batches", type=int, default=1000, help="of each measured part")
    parser.add_argument("--workers", type=int, default=0, help="worker processes, beside the headline")
    parser.add_argument("--scratch", type=Path, default=Path(tempfile.gettempdir()) / "tamis-loaders")
    parser.add_argument("--prepare", action="store_true", help="convert and build the index only")
    options = parser.parse_args()
    setup = setup_for(module, options.corpus, options.scratch, options.sequence_length, options.batch).with_changes(
        samples=options.batch * (WARM_UP + STRETCHES * options.batches + 16), workers=options.workers
    )
    if options.prepare:
        prepare(peer, setup)
        return
    if not prepared_file(setup).exists():
        command = [sys.executable, "-m", f"benchmarks.loaders.{module}", *sys.argv[1:], "--prepare"]
        subprocess.run(command, check=True)
    options.out.write_text(json.dumps(measure(peer, setup, options.batches), indent=1), "utf-8")


def setup_for(module: str, corpus: Path, scratch: Path, sequence_length: int, batch: int) -> Setup:
    """The setup of a loader; its folder is named by all that its contents depend on."""
    read = Corpus.read(corpus)
    folder = scratch / f"{module}-{corpus.resolve().name}-{sequence_length}"
    folder.mkdir(parents=True, exist_ok=True)
    return Setup(
        corpus=read, folder=folder, weights=read.weights, sequence_length=sequence_length, batch=batch, samples=16_000
    )


def prepared_file(setup: Setup) -> Path:
    """The file that `prepare` writes last."""
    return setup.folder / "prepared.json"


def prepare(peer: Peer, setup: Setup) -> None:
    """Converts into an empty folder, opens once, and writes down the seconds of each."""
    shutil.rmtree(setup.folder, ignore_errors=True)  # what an interrupted conversion left
    setup.folder.mkdir(parents=True)
    peer.load()
    _, convert = timed(lambda: peer.convert(setup))
    loader, opened = timed(lambda: peer.open(setup, None))
    loader.close()
    os.sync()  # or else the disk is still writing while the next process is measured
    prepared_file(setup).write_text(json.dumps({"convert_seconds": convert, "first_open_seconds": opened}), "utf-8")


def measure(peer: Peer, setup: Setup, batches: int) -> dict[str, Any]:
    """All figures of a prepared loader.

    Raises:
        SystemExit: it does not deliver int64 tensors of the shape of a batch.
    """
    _, import_seconds = timed(peer.load)
    library("torch").set_num_threads(1)
    figures, state, expected = _read(peer, setup, batches)
    if peer.resumes:
        (loader, _, batch), figures["resume_seconds"] = timed(lambda: _open(peer, setup, state))
        figures["resumes_exactly"] = bool((batch == expected).all())
        loader.close()
        del loader, _
    if peer.mixes:
        loader = peer.open(setup, None)
        figures["drift_samples"] = drift_of(loader, DRIFT_SAMPLES, setup.sequence_length, setup.corpus, setup.weights)
        loader.close()
    return {
        "name": peer.name,
        "versions": {name: version(name) for name in peer.packages},
        "note": peer.note,
        "workers": setup.workers,
        **json.loads(prepared_file(setup).read_text("utf-8")),
        "import_seconds": import_seconds,
        **figures,
    }


def _read(peer: Peer, setup: Setup, batches: int) -> tuple[dict[str, Any], Any, Any]:
    """First batch, speed and memory; the state after them and the batch that follows it."""
    before = private_memory()
    (loader, stream, batch), first_seconds = timed(lambda: _open(peer, setup, None))
    shape, dtype = tuple(batch.shape), str(batch.dtype)
    if shape[0] != setup.batch or shape[1] - setup.sequence_length not in (0, 1) or dtype != "torch.int64":
        raise SystemExit(f"{peer.name} delivers {dtype}{list(shape)}")
    _consume(stream, WARM_UP)
    tokens = batches * setup.batch * setup.sequence_length
    rates = [tokens / timed(lambda: _consume(stream, batches))[1] for _ in range(STRETCHES)]
    grown = {name: size - before[name] for name, size in private_memory().items()}
    figures = {
        "delivers": f"{dtype}{list(shape)}",
        "first_batch_seconds": first_seconds,
        "tokens_per_second_best": max(rates),
        "tokens_per_second_median": statistics.median(rates),
        "private_bytes": grown["Anonymous"],
        "uss_bytes": grown["Private_Dirty"] + grown["Private_Clean"],
    }
    state = loader.state() if peer.resumes else None
    expected = next(stream)
    loader.close()
    return figures, state, expected


def _open(peer: Peer, setup: Setup, state: Any) -> tuple[Any, Iterator[Any], Any]:
    loader = peer.open(setup, state)
    stream = iter(loader)
    return loader, stream, next(stream)


def _consume(stream: Iterator[Any], batches: int) -> None:
    for _ in itertools.islice(stream, batches):
        pass


def private_memory() -> dict[str, int]:
    """Bytes of this process's private pages, clean and dirty, and of those that no file backs."""
    lines = (line.split() for line in Path("/proc/self/smaps_rollup").read_text().splitlines()[1:])
    sizes = {line[0].rstrip(":"): int(line[1]) * 1024 for line in lines}
    return {name: sizes[name] for name in ("Private_Clean", "Private_Dirty", "Anonymous")}

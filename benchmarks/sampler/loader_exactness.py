"""Which samples data loaders deliver: the mixture, after a change of weights, in a longer run, after a resume.

    python -m benchmarks.sampler.loader_exactness [--python PEERS/bin/python] [--corpus FOLDER] [--peers …]
           [--out FOLDER]

The environment of the peers is that of `benchmarks.sampler.sampler_speed`, the corpus is
`benchmarks.corpora.sampler_corpus`, the global batch is 8. Every figure comes from a process of its own
(`benchmarks.loaders.take`). A run is 16,000 samples, less than an epoch of any domain; its state is saved after
8,000. For each tool:

    drift      the largest |count_d - w_d · t| over the 16,000 samples, in samples
    twice      samples among the 16,000 that came before, though no epoch of a domain ends
    repeats    samples of the first 8,000 that come again in the next 2,000, when the weights change in between
    changed    how many of the first 2,000 samples are others, place by place, when the run is planned for 64,000,
               which is more than one epoch of every domain
    resume     the 2,000 samples after the state, place by place, against those that came without a break
    world 2    the same with two ranks: in every global batch the same samples, in any order
    workers 2  the resume again with two worker processes, against a run without a break with two;
               and how many of that run's 10,000 samples came before

"others" counts samples that differ, 0 is exact; a refusal is quoted. Of the peers only Megatron is told the length of a
run. An epoch of MosaicML Streaming is as long as the corpus and is drawn anew by the proportions: it takes more samples
of the smallest domain than there are, so that some come twice early.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.corpora.sampler_corpus import write_corpus
from benchmarks.loaders.catalogue import CORPUS, PEERS, interpreter_for, is_there
from benchmarks.loaders.common import Corpus
from benchmarks.loaders.identity import Taken
from benchmarks.tools import machine
from benchmarks.tools.command_line import command_line, require
from benchmarks.tools.ports import free_port
from benchmarks.tools.report import save, table_head

NEEDS = ("torch", "linux", "peers")

RUN, LONGER, BREAK, NEXT, BATCH = 16_000, 64_000, 8_000, 2_000, 8
OTHER_WEIGHTS = {"web": 0.3, "code": 0.3, "books": 0.2, "maths": 0.2}
SECONDS = 240
"""A tool that takes longer for one figure is taken to hang."""


class Refused(Exception):
    """The tool failed; the message is its last error."""


@dataclass(frozen=True)
class Loader:
    """One tool, its interpreter, the corpus, and a folder for what it answers."""

    name: str
    python: Path
    corpus: Path
    scratch: Path

    def take(self, count: int, *arguments: str, world: int = 1) -> list[Taken]:
        """Samples from a loader, a list with one entry a rank.

        Raises:
            Refused: a rank failed or hung.
        """
        outs = [self.scratch / f"taken-{rank}.npz" for rank in range(world)]
        port, ranks = free_port(), []
        try:
            for rank, out in enumerate(outs):
                out.unlink(missing_ok=True)
                places = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "LOCAL_WORLD_SIZE": world}
                master = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
                launched = {**{name: str(value) for name, value in places.items()}, **master} if world > 1 else {}
                ranks.append(self._start(rank, launched, [str(out), "--count", str(count), *arguments]))
            return [
                self._answer(process, out, rank) for rank, (process, out) in enumerate(zip(ranks, outs, strict=True))
            ]
        finally:
            for process in ranks:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)  # and the workers that it left behind

    def _start(self, rank: int, environment: dict[str, str], arguments: list[str]) -> subprocess.Popen[bytes]:
        command = [str(self.python), "-m", "benchmarks.loaders.take", PEERS[self.name].module, str(self.corpus)]
        with (self.scratch / f"log-{rank}").open("wb") as log:
            return subprocess.Popen(
                [*command, *arguments],
                env={**os.environ, **environment},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _answer(self, process: subprocess.Popen[bytes], out: Path, rank: int) -> Taken:
        try:
            status = process.wait(SECONDS)
        except subprocess.TimeoutExpired as error:
            raise Refused(f"no end after {SECONDS} s") from error
        if status or not out.exists():
            lines = (self.scratch / f"log-{rank}").read_text("utf-8", "replace").strip().splitlines()
            raise Refused(next((line for line in reversed(lines) if "Error" in line), lines[-1] if lines else "died"))
        with np.load(out) as answer:
            return Taken(hashes=answer["hashes"], domains=answer["domains"])


def check(tool: Loader, weights: dict[str, float]) -> dict[str, Any]:
    """All figures of one tool."""
    state, state_workers = tool.scratch / "state", tool.scratch / "state-workers"
    save = ("--state-out", str(state), "--state-after", str(BREAK))
    try:
        [whole] = tool.take(RUN, *save)
    except Refused as refused:
        return {"name": tool.name, "drift": f"failed: {refused}"}
    after = whole.hashes[BREAK : BREAK + NEXT]
    found: dict[str, Any] = {"name": tool.name, "drift": whole.drift(weights)}
    found["twice"] = repeated(whole.hashes)

    def ask(key: str, question: Any) -> None:
        try:
            found[key] = question()
        except Refused as refused:
            found[key] = f"refused: {refused}"

    load = ("--state-in", str(state))
    ask("repeats", lambda: _repeats(tool.take(NEXT, *load, "--weights", json.dumps(OTHER_WEIGHTS))[0], whole))
    ask("changed", lambda: others(tool.take(NEXT, "--run-length", str(LONGER))[0].hashes, whole.hashes[:NEXT]))
    ask("resume", lambda: others(tool.take(NEXT, *load)[0].hashes, after))
    ask("world_2", lambda: others(_by_batch(tool.take(NEXT, *load, world=2)), _sorted_batches(after)))

    def with_workers() -> int:
        two = ("--workers", "2")
        [unbroken] = tool.take(BREAK + NEXT, *two, "--state-out", str(state_workers), "--state-after", str(BREAK))
        found["twice_workers"] = repeated(unbroken.hashes)
        [resumed] = tool.take(NEXT, *two, "--state-in", str(state_workers))
        return others(resumed.hashes, unbroken.hashes[BREAK : BREAK + NEXT])

    ask("workers_2", with_workers)
    return found


def repeated(hashes: Any) -> int:
    """How many samples have come before in the same list."""
    return int(len(hashes) - len(np.unique(hashes)))


def others(got: Any, expected: Any) -> int:
    """At how many places two lists of hashes differ; missing samples count."""
    common = min(len(got), len(expected))
    return int((got[:common] != expected[:common]).sum()) + abs(len(expected) - len(got))


def _repeats(later: Taken, whole: Taken) -> int:
    return int(np.isin(later.hashes, whole.hashes[:BREAK]).sum())


def _sorted_batches(hashes: Any) -> Any:
    return np.sort(hashes[: len(hashes) // BATCH * BATCH].reshape(-1, BATCH), axis=1).ravel()


def _by_batch(ranks: list[Taken]) -> Any:
    """The ranks' samples put together into global batches, each sorted."""
    rows = [taken.hashes.reshape(-1, BATCH // len(ranks)) for taken in ranks]
    return np.sort(np.concatenate(rows, axis=1), axis=1).ravel()


def as_markdown(body: dict[str, Any]) -> str:
    """One row for each tool."""
    heads = (
        "tool | drift | twice in 16,000 | repeats of 2,000 | changed of 2,000 | resume, others of 2,000 | at world 2 | "
    )
    heads += "with 2 workers | twice in 10,000 with them"
    lines = [machine.as_line(body["machine"]), "", table_head(heads)]
    keys = ("drift", "twice", "repeats", "changed", "resume", "world_2", "workers_2", "twice_workers")
    for row in body["rows"]:
        cells = [row.get(key, "not tried") for key in keys]
        shown = [f"{cell:.1f}" if isinstance(cell, float) else str(cell).replace("|", "/")[:120] for cell in cells]
        lines.append(f"| {row['name']} | {' | '.join(shown)} |")
    return "\n".join([*lines, ""])


def main() -> None:
    """Measures every tool that is installed; prints a table and writes JSON."""
    parser = command_line(__doc__, NEEDS)
    parser.add_argument("--corpus", type=Path, default=CORPUS)
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=list(PEERS)[1:])
    parser.add_argument("--out", type=Path, help="folder for loader_exactness.json and .md")
    options = parser.parse_args()
    require(NEEDS, options)
    write_corpus(options.corpus)
    corpus = Corpus.read(options.corpus)
    rows = []
    for name in options.peers:
        if not is_there(name, options.python):
            continue
        print(f"{name} …", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory() as scratch:
            tool = Loader(name, interpreter_for(name, options.python), options.corpus, Path(scratch))
            rows.append(check(tool, corpus.weights))
        print(rows[-1], file=sys.stderr, flush=True)
    body = {"machine": machine.describe(), "rows": rows}
    save(options.out, "loader_exactness", body, as_markdown(body))


if __name__ == "__main__":
    main()

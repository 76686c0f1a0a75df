"""Tamis' loader and others on one corpus in one run: tokens a second from one process, start, resume, memory, drift.

    python -m benchmarks.sampler.sampler_speed [--python PEERS/bin/python] [--corpus FOLDER] [--peers …] [--out FOLDER]

The peers need an environment of their own (Tamis' pins are not theirs), with the CPU build of torch held fast, or pip
brings gigabytes of CUDA::

    python -m venv PEERS
    echo torch==2.13.0 > held.txt
    PEERS/bin/pip install -c held.txt torch==2.13.0 megatron-core grain litdata torchdata
    PEERS/bin/pip install -c held.txt torch==2.13.0 mosaicml-streaming
    PEERS/bin/pip install -c held.txt --no-deps --ignore-requires-python megatron-core==0.19.2
    PEERS/bin/pip install --no-deps triton

MosaicML Streaming holds numpy below 2.2, and the others bear it. Megatron-core from 0.17 on asks for Python 3.12; its
wheel for 3.11 runs as far as the datasets, and imports triton even where there is no GPU. torchtitan was not tried. A
peer whose package the given interpreter lacks is skipped with a line.

The corpus is ``benchmarks.corpora.sampler_corpus``: four domains, 168 M tokens. Each line is one process that reads
batches of 8 x 4,096 tokens as int64 CPU tensors and does nothing with them (``benchmarks.loaders.measuring`` says what
each figure is); conversion to the tool's format came before, in another. Worker processes are not used.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.corpora.sampler_corpus import write_corpus
from benchmarks.tools import machine

CORPUS = Path(tempfile.gettempdir()) / "tamis-loaders" / "corpus"
SECONDS = 900
"""A tool that takes longer hangs."""


@dataclass(frozen=True)
class Listed:
    """A loader: its module in ``benchmarks.loaders``, what must be importable for it, and whether that is Tamis."""

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
    """Ours for Tamis, that of the peers for the rest."""
    return Path(sys.executable) if PEERS[name].ours else python


def is_there(name: str, python: Path) -> bool:
    """Whether the interpreter has the peer; a line if not."""
    interpreter = interpreter_for(name, python)
    command = [str(interpreter), "-c", f"import {PEERS[name].needs}"]
    found = subprocess.run(command, capture_output=True, check=False).returncode == 0
    if not found:
        print(f"{name}: skipped, {interpreter.name} does not have it", file=sys.stderr)
    return found


def measure(name: str, python: Path, corpus: Path, batches: int) -> dict[str, Any]:
    """One loader's figures.

    Raises:
        SystemExit: it failed; with the end of what it printed.
    """
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "figures.json"
        module = f"benchmarks.loaders.{PEERS[name].module}"
        command = [str(interpreter_for(name, python)), "-m", module, str(corpus), str(out), "--batches", str(batches)]
        ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS)
        if ended.returncode or not out.exists():
            raise SystemExit(f"{name}: failed with status {ended.returncode}\n{ended.stderr[-2000:]}")
        found: dict[str, Any] = json.loads(out.read_text("utf-8"))
    return found


def main() -> None:
    """Measures the floor, Tamis and every peer that is there; prints a table and writes JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--python", type=Path, default=Path(sys.executable), help="interpreter that has the peers")
    parser.add_argument("--corpus", type=Path, default=CORPUS)
    parser.add_argument("--batches", type=int, default=1000, help="of each of three stretches")
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=list(PEERS))
    parser.add_argument("--out", type=Path, help="folder for sampler_speed.json and sampler_speed.md")
    options = parser.parse_args()
    write_corpus(options.corpus)
    where = machine.describe()
    rows = []
    for name in options.peers:
        if not is_there(name, options.python):
            continue
        print(f"{name} …", file=sys.stderr, flush=True)
        try:
            rows.append(measure(name, options.python, options.corpus, options.batches))
        except (SystemExit, subprocess.TimeoutExpired) as error:
            print(error, file=sys.stderr)
    body = {"machine": where, "rows": rows}
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "sampler_speed.json").write_text(json.dumps(body, indent=1), "utf-8")
        (options.out / "sampler_speed.md").write_text(as_markdown(body), "utf-8")
    print(as_markdown(body))


def as_markdown(body: dict[str, Any]) -> str:
    """One line a tool."""
    heads = [
        "tool",
        "M tokens/s, best",
        "median",
        "of the floor",
        "import, s",
        "first batch, s",
        "resume, s",
        "exact",
        "first open, s",
        "convert, s",
        "private, MB",
        "USS, MB",
        "drift in 16,000",
    ]
    lines = [machine.as_line(body["machine"]), "", f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    floor = next((r["tokens_per_second_best"] for r in body["rows"] if r["name"] == "memmap floor"), None)
    seconds: Callable[[Any], str] = lambda x: "-" if x is None else f"{x:.3f}"  # noqa: E731
    for r in body["rows"]:
        versions = ", ".join(r["versions"].values())
        drift = f"{r['drift_samples']:,.1f}" if "drift_samples" in r else "-"
        share = f"{r['tokens_per_second_best'] / floor:.3f}" if floor else "-"
        lines.append(
            f"| {r['name']} {versions} | {r['tokens_per_second_best'] / 1e6:,.0f} | "
            f"{r['tokens_per_second_median'] / 1e6:,.0f} | {share} | {r['import_seconds']:.1f} | "
            f"{seconds(r['first_batch_seconds'])} | {seconds(r.get('resume_seconds'))} | "
            f"{'yes' if r.get('resumes_exactly') else 'no'} | {seconds(r['first_open_seconds'])} | "
            f"{r['convert_seconds']:.1f} | {r['private_bytes'] / 1e6:,.0f} | {r['uss_bytes'] / 1e6:,.0f} | "
            f"{drift} |"
        )
    notes = [f"- {r['name']}: {r['note']}." for r in body["rows"] if r["note"]]
    return "\n".join([*lines, "", *notes, ""])


if __name__ == "__main__":
    main()

"""Tamis' loader and others on one corpus in one run: tokens a second from one process, start, resume, memory, drift.

    python -m benchmarks.sampler.sampler_speed [--python PEERS/bin/python] [--corpus FOLDER] [--peers …] [--out FOLDER]

The peers need an environment of their own (Tamis' pins are not theirs), with the CPU build of torch pinned, or pip
installs gigabytes of CUDA:

    python -m venv PEERS
    echo torch==2.13.0 > held.txt
    PEERS/bin/pip install -c held.txt torch==2.13.0 megatron-core grain litdata torchdata
    PEERS/bin/pip install -c held.txt torch==2.13.0 mosaicml-streaming
    PEERS/bin/pip install -c held.txt --no-deps --ignore-requires-python megatron-core==0.19.2
    PEERS/bin/pip install --no-deps triton

MosaicML Streaming requires numpy below 2.2, which the others accept. Megatron-core from 0.17 on requires Python 3.12;
the datasets in its wheel run on 3.11 all the same, and import triton even without a GPU. torchtitan was not tried. A
peer whose package the given interpreter lacks is skipped with a line.

The corpus is `benchmarks.corpora.sampler_corpus`: four domains, 168 M tokens. Each line is one process that reads
batches of 8 x 4,096 tokens as int64 CPU tensors and does nothing with them (`benchmarks.loaders.measuring` says what
each figure is); conversion to the tool's format came before, in another. Worker processes are not used.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.corpora.sampler_corpus import write_corpus
from benchmarks.loaders.catalogue import CORPUS, PEERS, interpreter_for, is_there
from benchmarks.tools import machine
from benchmarks.tools.command_line import command_line, require
from benchmarks.tools.report import save, table_head

NEEDS = ("torch", "linux", "peers")

SECONDS = 900
"""A tool that takes longer is taken to hang."""


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
    """Measures the floor, Tamis and every peer that is installed; prints a table and writes JSON."""
    parser = command_line(__doc__, NEEDS)
    parser.add_argument("--corpus", type=Path, default=CORPUS)
    parser.add_argument("--batches", type=int, default=1000, help="of each of three measured parts")
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=list(PEERS))
    parser.add_argument("--out", type=Path, help="folder for sampler_speed.json and sampler_speed.md")
    options = parser.parse_args()
    require(NEEDS, options)
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
    save(options.out, "sampler_speed", body, as_markdown(body))


def as_markdown(body: dict[str, Any]) -> str:
    """One row for each tool."""
    heads = "tool | M tokens/s, best | median | of the floor | import, s | first batch, s | resume, s | exact | "
    heads += "first open, s | convert, s | private, MB | USS, MB | drift in 16,000"
    lines = [machine.as_line(body["machine"]), "", table_head(heads)]
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

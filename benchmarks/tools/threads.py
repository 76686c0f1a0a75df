"""Where a command's CPU time goes, by process and thread: JIT compiler, garbage collector, Spark tasks, Python workers.

    python -m benchmarks.tools.threads -- COMMAND…

The threads of the command's process tree are read from /proc five times a second, and the last reading of each counts;
a thread that lives for less than that is seen partly or not at all, so `benchmarks.tools.cpu` counts more.

Linux only. Source: proc(5), `/proc/PID/task/TID/stat`.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from benchmarks.tools.cpu import IGNORES_CHILDREN, TICKS, descendants, fields_after_name, is_worker
from benchmarks.tools.report import table_head

GROUPS = (
    (r"C[12] CompilerThre.*", "JIT compiler"),
    (r"G1 .*|GC Thread.*|VM Thread|VM Periodic.*|ParGC.*", "garbage collector and VM"),
    (r"Executor task l.*|stdout writer.*|Writer Monitor.*|shuffle-.*", "Spark tasks"),
)
"""Names of JVM threads (the kernel keeps 15 characters) and what they do; all others are "driver and rest"."""

Place = tuple[str, str]


def main() -> None:
    """Runs a command and prints the table."""
    parser = argparse.ArgumentParser(description="Runs a command and says which threads used the CPU.")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not command:
        parser.error("a command is missing: python -m benchmarks.tools.threads -- COMMAND…")
    process = subprocess.Popen(command)
    seen: dict[tuple[int, int, int], tuple[Place, float]] = {}
    while process.poll() is None:
        for pid in [process.pid, *descendants(process.pid)]:
            seen.update(_threads(pid, process.pid))
        time.sleep(0.2)
    print(as_table(by_place(seen)))
    sys.exit(process.returncode)


def by_place(seen: Mapping[tuple[int, int, int], tuple[Place, float]]) -> dict[Place, tuple[int, float]]:
    """Place → threads and CPU-seconds."""
    found: dict[Place, list[float]] = defaultdict(list)
    for place, seconds in seen.values():
        found[place].append(seconds)
    return {place: (len(times), sum(times)) for place, times in found.items()}


def as_table(found: Mapping[Place, tuple[int, float]]) -> str:
    """A Markdown table, the largest first."""
    total = sum(seconds for _, seconds in found.values())
    lines = [table_head("process | threads of | how many | CPU-s | %")]
    for (process, group), (threads, seconds) in sorted(found.items(), key=lambda item: -item[1][1]):
        lines.append(f"| {process} | {group} | {threads} | {seconds:.2f} | {100 * seconds / max(total, 1e-9):.1f} |")
    return "\n".join([*lines, f"| all | | | {total:.2f} | 100 |"])


def _threads(pid: int, root: int) -> dict[tuple[int, int, int], tuple[Place, float]]:
    """(process, thread, start) → where it belongs and its CPU-seconds so far."""
    found: dict[tuple[int, int, int], tuple[Place, float]] = {}
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        name = Path(f"/proc/{pid}/comm").read_text("utf-8", "replace").strip()
        ignores = int(Path(f"/proc/{pid}/status").read_bytes().partition(b"SigIgn:")[2].split(None, 1)[0], 16)
        tasks = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return found
    if name == "java":
        process = "JVM"
    elif is_worker(command):
        process = "Python daemon" if ignores & IGNORES_CHILDREN else "Python worker"
    else:
        process = "Python driver" if pid == root else "other"
    for task in tasks:
        try:
            text = Path(f"/proc/{pid}/task/{task}/stat").read_text("utf-8", "replace")
        except OSError:
            continue
        fields = fields_after_name(text)
        thread = text.partition("(")[2].rpartition(")")[0]
        group = _group(thread) if process == "JVM" else "all"
        seconds = (int(fields[11]) + int(fields[12])) / TICKS
        found[pid, int(task), int(fields[19])] = (process, group), seconds
    return found


def _group(thread: str) -> str:
    for pattern, group in GROUPS:
        if re.fullmatch(pattern, thread):
            return group
    return "driver and rest"


if __name__ == "__main__":
    main()

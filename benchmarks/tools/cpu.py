"""What a command costs with every process it starts: CPU-seconds, wall time, memory.

    python -m benchmarks.tools.cpu -- COMMAND…

The command runs below a small wrapper process that makes itself the *subreaper* of its descendants
(`prctl(PR_SET_CHILD_SUBREAPER)`): a process whose parent dies becomes the wrapper's child, not init's. So every
process is waited for, by its own parent or by the wrapper, and the kernel's sum over waited-for descendants
(`RUSAGE_CHILDREN`) covers the whole tree: the JVM, the daemon that forks Python workers, the workers. A control group
would count the same, but needs rights that a user rarely has. The kernel drops the times of children whose parent
*ignores* SIGCHLD; PySpark's daemon does so, and its workers do most of the work. Their times are read from /proc five
times a second while they live; what a process does after the last reading is lost, at most 0.2 s.

Memory is sampled five times a second from /proc: resident bytes of the tree (a page that forks share counts in each of
them) and, for each process, the kernel's own high-water mark, of which the largest among Spark's Python workers is
reported. The wrapper's own 20 MB and its CPU time are left out.

Linux only. Source: prctl(2), getrusage(2), wait(2).
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
SAMPLE_SECONDS = 0.2
LINGER_SECONDS = 15.0
"""How long processes may outlive the command before they are ended."""
WORKERS = (b"pyspark.daemon", b"pipelines.run.daemon")
"""Found in the command line of the daemon, which its workers inherit."""
IGNORES_CHILDREN = 1 << (signal.SIGCHLD - 1)
"""In the mask `SigIgn` of /proc/PID/status."""
TICKS = os.sysconf("SC_CLK_TCK")
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Usage:
    """What a command used.

    Attributes:
        status: its exit status; -n when it died of signal n.
        user_seconds: CPU time in user mode, the whole tree's.
        system_seconds: CPU time in the kernel.
        wall_seconds: until the command, and what it left behind, was gone.
        peak_tree_bytes: largest sum of resident bytes over the tree.
        peak_process_bytes: largest high-water mark of one process.
        peak_worker_bytes: largest high-water mark of one of Spark's Python workers; 0 without any.
    """

    status: int
    user_seconds: float
    system_seconds: float
    wall_seconds: float
    peak_tree_bytes: int
    peak_process_bytes: int
    peak_worker_bytes: int

    @property
    def cpu_seconds(self) -> float:
        """User and system time."""
        return self.user_seconds + self.system_seconds


def measure(
    command: Sequence[str], cwd: Path = ROOT, env: Mapping[str, str] | None = None, quiet: bool = True
) -> Usage:
    """Runs a command and measures it.

    Args:
        command: the program and its arguments.
        cwd: where it runs.
        env: variables set on top of ours.
        quiet: whether to hide what it prints, unless it fails.

    Raises:
        SystemExit: it failed; with the end of what it printed.
    """
    with tempfile.TemporaryDirectory() as scratch:
        report, log = Path(scratch) / "usage.json", Path(scratch) / "log"
        wrapper = [sys.executable, str(Path(__file__).resolve()), "--report", str(report), "--", *command]
        with log.open("wb") as out:
            subprocess.run(
                wrapper,
                cwd=cwd,
                env={**os.environ, **(env or {})},
                check=False,
                stdout=out if quiet else None,
                stderr=out if quiet else None,
            )
        if not report.exists():
            raise SystemExit(f"{' '.join(command)}: was not measured\n{_tail(log)}")
        usage = Usage(**json.loads(report.read_text("utf-8")))
        if usage.status:
            raise SystemExit(f"{' '.join(command)}: failed with status {usage.status}\n{_tail(log)}")
    return usage


def _tail(log: Path) -> str:
    return log.read_text("utf-8", "replace")[-3000:]


def wrap(command: Sequence[str]) -> Usage:
    """Runs a command as a child of this process, which becomes a subreaper; call it in a process of its own.

    Raises:
        OSError: there is no such command, or no subreaper on this system.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.monotonic()
    main = os.posix_spawnp(command[0], list(command), os.environ)
    status: int | None = None
    peaks = [0, 0, 0]
    unwaited: dict[tuple[int, int], tuple[float, float]] = {}
    ended, killed, sampled = 0.0, False, 0.0
    while True:
        try:
            pid, code = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            break
        now = time.monotonic()
        _forget(pid, unwaited)
        if pid == main:
            status, ended = os.waitstatus_to_exitcode(code), now
        elif pid == 0:
            if now - sampled >= SAMPLE_SECONDS:
                _sample(peaks, unwaited)
                sampled = now
            if status is not None and now - ended > LINGER_SECONDS and not killed:
                for child in descendants(os.getpid()):
                    _kill(child)
                killed, ended = True, now
            time.sleep(0.01 if now - started < 1 or status is not None else 0.05)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert status is not None
    return Usage(
        status,
        used.ru_utime - before.ru_utime + sum(user for user, _ in unwaited.values()),
        used.ru_stime - before.ru_stime + sum(system for _, system in unwaited.values()),
        time.monotonic() - started,
        *peaks,
    )


def _forget(pid: int, unwaited: dict[tuple[int, int], tuple[float, float]]) -> None:
    """Removes a process that was waited for from those whose times are read from /proc.

    It became our child when its parent, which ignored it, ended first; the kernel's sum includes it now.
    """
    known = [key for key in unwaited if key[0] == pid]
    if known:
        del unwaited[max(known)]  # by start: an earlier process may have had the number


def _sample(peaks: list[int], unwaited: dict[tuple[int, int], tuple[float, float]]) -> None:
    """Updates the peaks of tree, process and worker, and the times of processes that nobody waits for."""
    total = 0
    for pid in descendants(os.getpid()):
        try:
            fields = Path(f"/proc/{pid}/status").read_bytes()
            worker = is_worker(Path(f"/proc/{pid}/cmdline").read_bytes())
            stat = fields_after_name(Path(f"/proc/{pid}/stat").read_text("utf-8", "replace"))
            parent = Path(f"/proc/{stat[1]}/status").read_bytes()
        except OSError:
            continue
        if int(parent.partition(b"SigIgn:")[2].split(None, 1)[0], 16) & IGNORES_CHILDREN:
            unwaited[pid, int(stat[19])] = (int(stat[11]) / TICKS, int(stat[12]) / TICKS)
        total += _kilobytes(fields, b"VmRSS:")
        high = _kilobytes(fields, b"VmHWM:")
        peaks[1] = max(peaks[1], high)
        if worker:
            peaks[2] = max(peaks[2], high)
    peaks[0] = max(peaks[0], total)


def _kilobytes(fields: bytes, name: bytes) -> int:
    """A size of /proc/PID/status in bytes; 0 for a process that is gone."""
    _, found, rest = fields.partition(name)
    return 1024 * int(rest.split(None, 1)[0]) if found else 0


def is_worker(command: bytes) -> bool:
    """Whether a command line is that of Spark's Python daemon or one of its workers."""
    return any(name in command for name in WORKERS)


def fields_after_name(stat: str) -> list[str]:
    """The fields of a `stat` line from the third on; the second, a name, may hold spaces and brackets."""
    return stat.rpartition(")")[2].split()


def descendants(root: int) -> list[int]:
    """The processes below one."""
    found, todo = [], [root]
    while todo:
        pid = todo.pop()
        try:
            tasks = os.listdir(f"/proc/{pid}/task")
            lines = [Path(f"/proc/{pid}/task/{t}/children").read_text() for t in tasks]
        except OSError:
            continue
        children = [int(child) for line in lines for child in line.split()]
        found += children
        todo += children
    return found


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def main() -> None:
    """Runs a command; writes or prints what it used."""
    parser = argparse.ArgumentParser(description="Runs a command and says what its process tree used.")
    parser.add_argument("--report", type=Path, help="write the usage here as JSON instead of printing it")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not command:
        parser.error("a command is missing: python -m benchmarks.tools.cpu -- COMMAND…")
    usage = wrap(command)
    body = json.dumps(asdict(usage))
    if options.report:
        options.report.write_text(body, "utf-8")
    else:
        print(body)
    sys.exit(min(abs(usage.status), 255))


if __name__ == "__main__":
    main()

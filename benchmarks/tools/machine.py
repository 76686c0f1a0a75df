"""The machine, the date and the commit of a measurement, to be printed beside the figures."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tamis.places import ROOT


def describe() -> dict[str, Any]:
    """Processor, memory, versions, date, commit, and the load, as busy cores do less in a CPU-second."""
    pages, page = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(pages * page / 2**30),
        "python": platform.python_version(),
        "pyspark": version("pyspark"),
        "date": datetime.date.today().isoformat(),
        "commit": _git("log", "-1", "--format=%h %s") or "unknown",
        "load": round(os.getloadavg()[0], 1),
        "changed_files": len(_git("status", "--porcelain", "--untracked-files=no").splitlines()),
    }


def as_line(facts: dict[str, Any]) -> str:
    """The facts as one line of Markdown."""
    changed = f", {facts['changed_files']} files changed since" if facts["changed_files"] else ""
    return (
        f"{facts['cores']} cores ({facts['processor']}), {facts['memory_gib']} GiB, Python {facts['python']}, "
        f"PySpark {facts['pyspark']}, {facts['date']}, commit {facts['commit']}{changed}; load {facts['load']}"
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _git(*arguments: str) -> str:
    try:
        found = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return found.stdout.strip()

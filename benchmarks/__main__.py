"""The list of benchmarks; runs one, or all of them.

    python -m benchmarks                      what there is, what each needs and what it costs
    python -m benchmarks dedup_speed --help   one, by its short or its dotted name, with its own options
    python -m benchmarks all                  one after another; what lacks something says so in a line

A benchmark is a module in one of the folders `ROOMS`; all that several of them share lies in other folders. The list is
read off the source, so that a package that is not installed keeps nothing from being listed.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from benchmarks.tools.command_line import KNOWN, words_of
from tamis.places import ROOT

ROOMS = ("chain", "dedup", "filters", "sampler", "trainer", "ablations")


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One of the list.

    Attributes:
        name: of its module, below `benchmarks`.
        title: the first line of its docstring.
        needs: see `benchmarks.tools.command_line`.
        cost: the sentence of its docstring that says how long it takes; "" where that is not known.
    """

    name: str
    title: str
    needs: tuple[str, ...]
    cost: str

    @classmethod
    def of(cls, path: Path) -> Benchmark:
        """Reads a module without importing it."""
        tree = ast.parse(path.read_text("utf-8"))
        doc = ast.get_docstring(tree) or ""
        found = [
            ast.literal_eval(node.value)
            for node in tree.body
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "NEEDS"
        ]
        cost = re.search(r"\bCost: (.+?)(?:\n\n|\Z)", doc, re.DOTALL)
        name = f"{path.parent.name}.{path.stem}"
        return cls(name, doc.partition("\n")[0], found[0], " ".join(cost[1].split()) if cost else "")

    def describe(self) -> str:
        """Its lines in the list."""
        lines = [self.name, f"    {self.title}", f"    needs {'; '.join(map(words_of, self.needs))}"]
        return "\n".join([*lines, *([f"    cost: {self.cost}"] if self.cost else [])])

    def run(self, options: Sequence[str] = ()) -> int:
        """Runs it in a process of its own; its exit status."""
        print(f"== benchmarks.{self.name}", flush=True)
        for need in self.needs:
            if need not in KNOWN and find_spec(need) is None:
                print(f"skipped: needs {words_of(need)}")
                return 0
        command = [sys.executable, "-m", f"benchmarks.{self.name}", *options]
        return subprocess.run(command, cwd=ROOT, check=False).returncode


def benchmarks() -> list[Benchmark]:
    """All of them, room by room."""
    return [
        Benchmark.of(path)
        for room in ROOMS
        for path in sorted((ROOT / "benchmarks" / room).glob("*.py"))
        if path.name != "__init__.py"
    ]


def chosen(name: str) -> list[Benchmark]:
    """The benchmarks that a name stands for.

    Raises:
        SystemExit: there is none of that name.
    """
    wanted = name.removesuffix(".py").replace("/", ".").removeprefix("benchmarks.")
    found = [one for one in benchmarks() if wanted in ("all", one.name, one.name.partition(".")[2])]
    if not found:
        names = ", ".join(one.name.partition(".")[2] for one in benchmarks())
        raise SystemExit(f"benchmark: found {name!r}; expected one of all, {names}")
    return found


def main(arguments: Sequence[str]) -> int:
    """Lists, or runs; 1 where a benchmark failed."""
    if not arguments:
        print("\n\n".join(one.describe() for one in benchmarks()))
        return 0
    failed = [one.name for one in chosen(arguments[0]) if one.run(arguments[1:])]
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

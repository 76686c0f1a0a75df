"""What `python -m benchmarks` lists, and what a benchmark says that lacks something."""

from __future__ import annotations

import argparse
from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmarks.__main__ import ROOMS, Benchmark, benchmarks, chosen, main
from benchmarks.tools.command_line import KNOWN, command_line, require

EVERY = benchmarks()


@pytest.mark.parametrize("benchmark", EVERY, ids=lambda one: one.name)
def test_a_benchmark_says_what_it_needs(benchmark: Benchmark, repository: Path) -> None:
    assert benchmark.title.endswith(".") and benchmark.needs
    assert all(need in KNOWN or find_spec(need) for need in benchmark.needs), "a key or a package"
    assert "\ndef main() -> None:" in (repository / "benchmarks" / f"{benchmark.name.replace('.', '/')}.py").read_text()


def test_every_folder_is_a_room_or_shared(repository: Path) -> None:
    folders = {p.name for p in (repository / "benchmarks").iterdir() if (p / "__init__.py").exists()}
    assert folders - set(ROOMS) == {"tools", "corpora", "loaders", "peers"}


def test_short_names_are_enough() -> None:
    names = [one.name.partition(".")[2] for one in EVERY]
    assert len(set(names)) == len(names) > 20
    for name in ("dedup_speed", "dedup.dedup_speed", "benchmarks.dedup.dedup_speed", "benchmarks/dedup/dedup_speed.py"):
        assert [one.name for one in chosen(name)] == ["dedup.dedup_speed"]
    assert chosen("all") == EVERY
    with pytest.raises(SystemExit, match="found 'dedup'; expected one of .*order_of_stages"):
        chosen("dedup")


def test_the_list_is_read_off_the_source(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "room" / "one.py"
    path.parent.mkdir()
    path.write_text(
        '"""A title.\n\nMore. Cost: two\nminutes.\n\nEnd."""\n\nimport no_such_package\n\nNEEDS = ("data", "no_such")\n'
    )
    found = Benchmark.of(path)
    assert found == Benchmark("room.one", "A title.", ("data", "no_such"), "two minutes.")
    assert found.run() == 0 and "skipped: needs the package no_such\n" in capsys.readouterr().out
    assert main([]) == 0
    listed = capsys.readouterr().out
    assert all(f"{one.name}\n    {one.title}\n    needs " in listed for one in EVERY)


def test_what_is_missing_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    needs = ("data", "numpy", "no_such_package")
    parser = command_line("Title.\n\nMore.", needs, work="tamis-test", formats=True)
    options = parser.parse_args(["--data", str(tmp_path)])
    assert parser.description == "Title." and options.format == "text" and options.work.name.startswith("tamis-test")
    require(needs[:2], options)
    assert capsys.readouterr().out == ""
    for name, line in (
        ("data", "the shared data folder (--data FOLDER)"),
        ("no_such_package", "the package no_such_package"),
    ):
        with pytest.raises(SystemExit) as ended:
            require([name], argparse.Namespace(data=tmp_path / "none"))
        assert ended.value.code == 0 and capsys.readouterr().out == f"skipped: needs {line}\n"

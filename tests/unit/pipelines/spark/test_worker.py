"""What runs inside a task: errors as values, receipts, code from a zip."""

from __future__ import annotations

import json
import os
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from pipelines.spark import worker
from pipelines.spark.blocks import Block, Inbox, split
from pipelines.spark.wire import encode
from tamis.cache import cache_folder
from tamis.errors import ConfigError, ReadError

HERE = __name__


@dataclass(frozen=True)
class Number:
    """A task."""

    number: int


@dataclass(frozen=True)
class Twice:
    """An answer."""

    twice: int
    é: str


def double(task: Number) -> Twice:
    return Twice(task.number * 2, "中")


def refuse(task: Number) -> Twice:
    raise ConfigError(f"number: found {task.number}; “no” is all we know")


def stumble(task: Number) -> Twice:
    raise ZeroDivisionError("by nothing")


def lose_the_storage(task: Number) -> Twice:
    raise ReadError("nobody answers")


def test_a_package_that_another_hides_is_told_as_the_steps_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tamis.collisions", None)
    with pytest.raises(RuntimeError, match="^doubling: import of tamis.collisions halted"):
        worker.call(f"{HERE}:double", worker.Called("doubling"), encode(Number(4)), "receipt")


def test_an_answer_comes_back_and_leaves_a_receipt(tmp_path: Path) -> None:
    receipt = tmp_path / "receipts" / "a.json"
    answer = worker.call(f"{HERE}:double", worker.Called("doubling"), encode(Number(4)), str(receipt))
    assert json.loads(answer.text) == {"twice": 8, "é": "中"} and not answer.refused
    assert receipt.read_text("utf-8") == answer.text
    assert [p.name for p in receipt.parent.iterdir()] == ["a.json"], "no half-written file beside it"
    again = worker.call(f"{HERE}:double", worker.Called("doubling"), '{"number": 1}', str(receipt))
    assert json.loads(again.text)["twice"] == 2


def test_a_users_error_is_a_value_and_no_receipt(tmp_path: Path) -> None:
    receipt = tmp_path / "a.json"
    answer = worker.call(f"{HERE}:refuse", worker.Called("near"), encode(Number(4)), str(receipt))
    assert answer == worker.Answer("number: found 4; “no” is all we know", refused=True)
    assert not receipt.exists()


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("stumble", "^near: ZeroDivisionError: by nothing\n"),
        ("nobody", "^near: AttributeError: .*nobody"),
        ("lose_the_storage", "^near: nobody answers$"),
    ],
)
def test_any_other_error_names_the_step_and_keeps_its_trace(tmp_path: Path, function: str, said: str) -> None:
    """Spark tries the task again; where storage failed, the sentence says it all."""
    receipt = tmp_path / "a.json"
    with pytest.raises(RuntimeError, match=said) as caught:
        worker.call(f"{HERE}:{function}", worker.Called("near"), encode(Number(4)), str(receipt))
    assert function != "stumble" or "in stumble" in str(caught.value)
    assert not receipt.exists()


@dataclass(frozen=True)
class Rows:
    """A task of an exchange."""

    rows: int


@dataclass(frozen=True)
class More:
    """The settings of a hop."""

    more: int


@dataclass(frozen=True)
class Sum:
    """The answer of a hop."""

    partition: int
    sum: int
    é: int


def count(task: Rows) -> Iterator[Block]:
    yield from split("numbers", {"n": np.arange(task.rows)}, np.arange(task.rows) % 2)


def count_and_stumble(task: Rows) -> Iterator[Block]:
    yield from count(task)
    raise ZeroDivisionError("by nothing\nat all")


def add(inbox: Inbox, settings: More) -> Iterator[Sum]:
    table = inbox.table("numbers")
    assert table is not None
    yield Sum(inbox.partition, int(table.column("n").to_numpy().sum()) + settings.more, 1)


def pass_on(inbox: Inbox, settings: More) -> Iterator[Block]:
    for kind, table in inbox.tables.items():
        yield Block(settings.more, kind, table)


def test_blocks_go_from_a_source_over_a_hop_to_an_answer() -> None:
    tasks = [encode(Rows(rows)) for rows in (4, 0, 3)]
    records = list(worker.emit_blocks(f"{HERE}:count", worker.Called("counting"), tasks))
    assert [(partition, kind) for partition, (kind, _) in records] == [(0, "numbers"), (1, "numbers")] * 2
    assert all(type(data) is bytes for _, (_, data) in records), "Spark sees bytes, not Arrow"
    settings = encode(More(5))
    passed = list(
        worker.receive_blocks(f"{HERE}:pass_on", worker.Called("counting"), settings, False, 1, iter(records[1::2]))
    )
    assert [(partition, kind) for partition, (kind, _) in passed] == [(5, "numbers")]
    answers = list(worker.receive_blocks(f"{HERE}:add", worker.Called("counting"), settings, True, 5, iter(passed)))
    assert [json.loads(a) for a in answers] == [{"partition": 5, "sum": 10, "é": 1}], "1 and 3, 1, and 5 more"


def test_a_step_of_an_exchange_that_fails_is_named_and_keeps_its_trace() -> None:
    """The first line names the step; what came before the failure has been handed on."""
    step = worker.emit_blocks(f"{HERE}:count_and_stumble", worker.Called("near_dedup: bands"), [encode(Rows(2))])
    assert [partition for partition, _ in (next(step), next(step))] == [0, 1]
    with pytest.raises(RuntimeError, match="^near_dedup: bands: ZeroDivisionError: by nothing\n") as caught:
        next(step)
    assert "in count_and_stumble" in str(caught.value)
    with pytest.raises(RuntimeError, match="^counting: AssertionError"):
        list(worker.receive_blocks(f"{HERE}:add", worker.Called("counting"), encode(More(1)), True, 0, []))
    with pytest.raises(RuntimeError, match="^x: AttributeError: .*nobody"):
        list(worker.emit_blocks(f"{HERE}:nobody", worker.Called("x"), []))
    with pytest.raises(RuntimeError, match="^x: AttributeError: .*nobody"):
        list(worker.receive_blocks(f"{HERE}:nobody", worker.Called("x"), encode(More(1)), True, 0, []))


def small_zip(path: Path, says: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("conf/a.yaml", "a: 1\n")
        archive.writestr("pipelines/__init__.py", f'"""{says}"""\n')
    return path


def test_a_zip_is_unpacked_once_under_its_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAMIS_CACHE", str(tmp_path / "cache"))
    folder = worker.unpacked(small_zip(tmp_path / "a.zip", "one"))
    assert folder.parent == tmp_path / "cache" / "code"
    assert (folder / "conf" / "a.yaml").read_text() == "a: 1\n"
    stamp = (folder / "conf" / "a.yaml").stat().st_mtime_ns
    assert worker.unpacked(tmp_path / "a.zip") == folder
    assert (folder / "conf" / "a.yaml").stat().st_mtime_ns == stamp
    assert worker.unpacked(small_zip(tmp_path / "c.zip", "two")) != folder
    assert all(len(p.name) == 16 for p in folder.parent.iterdir()), "no temporary folder is left"


def test_the_loser_of_a_race_uses_the_winners_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAMIS_CACHE", str(tmp_path))
    archive = small_zip(tmp_path / "a.zip", "one")

    def lose(self: Path, target: Path) -> None:
        target.mkdir()
        (target / "theirs").touch()
        raise OSError("not empty")

    monkeypatch.setattr(Path, "rename", lose)
    folder = worker.unpacked(archive)
    assert [p.name for p in folder.iterdir()] == ["theirs"]
    assert list(folder.parent.iterdir()) == [folder]


def test_the_cache_is_the_first_folder_that_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file where HOME should be is as unwritable as it gets, even for root."""
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("TAMIS_CACHE", str(tmp_path / "file" / "x"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    assert cache_folder() == tmp_path / "xdg" / "tamis"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path / "tmp"))
    found = cache_folder()
    assert found == tmp_path / "tmp" / f"tamis-{os.getuid()}" and found.is_dir()
    monkeypatch.setenv("TAMIS_CACHE", str(tmp_path / "mine"))
    assert cache_folder() == tmp_path / "mine"

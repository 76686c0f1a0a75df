"""What runs inside a task: errors as values, receipts, code from a zip."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pipelines.spark import worker
from pipelines.spark.exchange import Block, Inbox, split
from tamis.cache import cache_folder
from tamis.errors import ConfigError

HERE = __name__


def double(request: dict[str, object]) -> dict[str, object]:
    return {"twice": request["number"] * 2, "é": sorted(request)}  # type: ignore[operator]


def refuse(request: dict[str, object]) -> dict[str, object]:
    raise ConfigError(f"number: found {request['number']}; “no” is all we know")


def stumble(request: dict[str, object]) -> dict[str, object]:
    raise ZeroDivisionError("by nothing")


def test_an_answer_comes_back_and_leaves_a_receipt(tmp_path: Path) -> None:
    receipt = tmp_path / "receipts" / "a.json"
    answer = worker.call(f"{HERE}:double", json.dumps({"number": 4, "receipt": str(receipt), "label": "doubling"}))
    assert json.loads(answer) == {"twice": 8, "é": ["label", "number"]}
    assert receipt.read_text("utf-8") == answer
    assert [p.name for p in receipt.parent.iterdir()] == ["a.json"], "no half-written file beside it"
    assert json.loads(worker.call(f"{HERE}:double", '{"number": 1}'))["twice"] == 2


def test_a_users_error_is_a_value_and_no_receipt(tmp_path: Path) -> None:
    receipt = tmp_path / "a.json"
    answer = json.loads(worker.call(f"{HERE}:refuse", json.dumps({"number": 4, "receipt": str(receipt)})))
    assert answer == {worker.USER_ERROR: "number: found 4; “no” is all we know"}
    assert not receipt.exists()


def test_any_other_error_names_the_step_and_keeps_its_trace(tmp_path: Path) -> None:
    receipt = tmp_path / "a.json"
    with pytest.raises(RuntimeError, match="^near: ZeroDivisionError: by nothing\n") as caught:
        worker.call(f"{HERE}:stumble", json.dumps({"label": "near", "receipt": str(receipt)}))
    assert "in stumble" in str(caught.value)
    assert not receipt.exists()


def count(request: dict[str, object]) -> Iterator[Block]:
    yield from split("numbers", {"n": np.arange(request["rows"])}, np.arange(request["rows"]) % 2)


def count_and_stumble(request: dict[str, object]) -> Iterator[Block]:
    yield from count(request)
    raise ZeroDivisionError("by nothing")


def add(inbox: Inbox, settings: dict[str, int]) -> Iterator[dict[str, int]]:
    table = inbox.table("numbers")
    assert table is not None
    yield {"partition": inbox.partition, "sum": int(table.column("n").to_numpy().sum()) + settings["more"], "é": 1}


def pass_on(inbox: Inbox, settings: dict[str, int]) -> Iterator[Block]:
    for kind, table in inbox.tables.items():
        yield Block(settings["more"], kind, table)


def test_blocks_go_from_a_source_over_a_hop_to_an_answer() -> None:
    payloads = [json.dumps({"rows": rows, "label": "counting"}) for rows in (4, 0, 3)]
    records = list(worker.emit_blocks(f"{HERE}:count", payloads))
    assert [(partition, kind) for partition, (kind, _) in records] == [(0, "numbers"), (1, "numbers")] * 2
    assert all(type(data) is bytes for _, (_, data) in records), "Spark sees bytes, not Arrow"
    settings = json.dumps({"more": 5, "label": "counting"})
    passed = list(worker.receive_blocks(f"{HERE}:pass_on", settings, False, 1, iter(records[1::2])))
    assert [(partition, kind) for partition, (kind, _) in passed] == [(5, "numbers")]
    answers = list(worker.receive_blocks(f"{HERE}:add", settings, True, 5, iter(passed)))
    assert answers == ['{"partition": 5, "sum": 10, "é": 1}'], "1 and 3, 1, and 5 more"


def test_a_step_of_an_exchange_that_fails_is_named_and_keeps_its_trace() -> None:
    with pytest.raises(RuntimeError, match="^counting: ZeroDivisionError: by nothing\n") as caught:
        list(worker.emit_blocks(f"{HERE}:count_and_stumble", ['{"rows": 2, "label": "counting"}']))
    assert "in count_and_stumble" in str(caught.value)
    with pytest.raises(RuntimeError, match="^counting: AssertionError"):
        list(worker.receive_blocks(f"{HERE}:add", '{"label": "counting"}', True, 0, []))


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

"""Whether our packages are ours: modules, packages, loaded modules and overwritten files of our names are told."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from tamis import collisions
from tamis.collisions import ROOMS, CollisionError, refuse_strangers, told
from tamis.errors import TamisError

ROOT = Path(collisions.__file__).resolve().parents[1]


@pytest.fixture
def forgotten(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Our packages are looked up anew, not taken from those imported by other tests."""
    for name in ROOMS:
        monkeypatch.delitem(sys.modules, name, raising=False)
    return monkeypatch


def package(folder: Path, begins: str = "Somebody else's") -> Path:
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(f'"""{begins}."""\n')
    return folder


def test_a_checkout_is_all_ours(forgotten: pytest.MonkeyPatch) -> None:
    assert told(str(ROOT)) is None


def test_a_script_of_that_name_is_told_with_both_paths(forgotten: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "text.py").touch()
    forgotten.syspath_prepend(tmp_path)
    said = told(str(ROOT)) or ""
    assert said.startswith(f"import text: found {tmp_path / 'text.py'} before Tamis' own {ROOT / 'text'}; expected ")


def test_several_packages_are_told_in_one_sentence(forgotten: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("trainer", "cli", "sampler"):
        package(tmp_path / name)
    forgotten.syspath_prepend(tmp_path)
    said = told(str(ROOT)) or ""
    assert f"import cli: found {tmp_path / 'cli'} before" in said and "(and so with sampler, trainer)" in said


def test_a_folder_of_files_and_what_comes_behind_ours_hide_nothing(
    forgotten: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "a.jsonl").touch()
    package(tmp_path / "behind" / "filters")
    forgotten.syspath_prepend(tmp_path)
    forgotten.setattr(sys, "path", [*sys.path, str(tmp_path / "behind")])
    assert told(str(ROOT)) is None


def test_one_folder_by_two_paths_is_one(forgotten: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(ROOT)
    forgotten.syspath_prepend(tmp_path / "link")
    assert told(str(ROOT)) is None


def test_a_module_that_is_loaded_counts_before_the_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    theirs = ModuleType("dedup")
    theirs.__file__ = str(tmp_path / "dedup.py")
    monkeypatch.setitem(sys.modules, "dedup", theirs)
    assert f"import dedup: found {theirs.__file__} before" in (told(str(ROOT)) or "")


def test_a_package_that_also_lies_in_an_unpacked_zip_is_ours(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`pipelines.spark.worker.unpack_code` puts the unpacked copy first in the path of the package that it lies in."""
    unpacked = package(tmp_path / "pipelines", ROOMS["pipelines"])
    module = ModuleType("pipelines")
    module.__file__ = "tamis.zip/pipelines/__init__.py"
    module.__path__ = [str(unpacked), "tamis.zip/pipelines"]
    for name in ROOMS:
        monkeypatch.delitem(sys.modules, name, raising=False)
        if name != "pipelines":
            package(tmp_path / name, ROOMS[name])
    monkeypatch.setitem(sys.modules, "pipelines", module)
    monkeypatch.syspath_prepend(tmp_path)
    assert told(str(tmp_path)) is None


@pytest.mark.parametrize("written", [b'"""Another text package."""\n', b"\xff\xfe", b""])
def test_a_package_that_was_written_over(forgotten: pytest.MonkeyPatch, tmp_path: Path, written: bytes) -> None:
    for name in ROOMS:
        package(tmp_path / name, ROOMS[name])
    forgotten.syspath_prepend(tmp_path)
    assert told(str(tmp_path)) is None
    (tmp_path / "text" / "__init__.py").write_bytes(written)
    assert f"import text: found {tmp_path / 'text'} written over by something else; expected" in told(str(tmp_path))


def test_a_command_ends_and_an_import_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(collisions, "told", lambda root: "import text: found it")
    for program in ("/elsewhere/script.py", "", f"{ROOT}/.venv/bin/pytest", f"{ROOT}/examples/script.py"):
        monkeypatch.setattr(sys, "argv", [program])
        with pytest.raises(CollisionError, match="import text: found it") as raised:
            refuse_strangers()
        assert isinstance(raised.value, ImportError) and isinstance(raised.value, TamisError)
    for program in ("/env/bin/tamis", "-m", "jobs/run_tokens.py", f"{ROOT}/pipelines/spark/package.py"):
        monkeypatch.setattr(sys, "argv", [program])
        with pytest.raises(SystemExit) as ended:
            refuse_strangers()
        assert ended.value.code == 2 and capsys.readouterr() == ("", "tamis: import text: found it\n")

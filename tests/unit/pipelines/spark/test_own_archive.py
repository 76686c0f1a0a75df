"""The zip in which one's own code travels."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from corpus.own_code import find
from pipelines.spark import own_archive
from pipelines.spark.own_archive import pack
from tamis.errors import ConfigError


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of code, with what does not belong to it."""
    monkeypatch.setenv("TAMIS_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "code"
    for name in (
        "one.py",
        "package/__init__.py",
        "package/words.txt",
        "package/__pycache__/x.pyc",
        ".git/config",
        "venv/pyvenv.cfg",
        "venv/lib.py",
        "run/run.json",
        "run/shard",
    ):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return folder


def test_a_folder_travels_whole_but_for_what_is_no_code(code: Path) -> None:
    archive = pack([code], [])
    assert archive is not None
    with zipfile.ZipFile(archive) as opened:
        assert opened.namelist() == ["one.py", "package/__init__.py", "package/words.txt"]
        assert opened.read("package/words.txt") == b"package/words.txt"


def test_equal_code_has_one_name_and_other_code_another(code: Path) -> None:
    first = pack([code], [])
    assert pack([code], []) == first
    (code / "one.py").write_text("other")
    assert pack([code], []) != first


def test_a_module_on_the_path_travels_with_its_package_and_an_installed_one_stays(
    tmp_path: Path, code: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lib" / "own_archived").mkdir(parents=True)
    for name in ("__init__.py", "inner.py", "data.txt"):
        (tmp_path / "lib" / "own_archived" / name).write_text("value = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path / "lib"))
    assert find("own_archived.inner:value", "x") == 1 and find("yaml:safe_load", "x")
    archive = pack([], ["own_archived.inner:value", "yaml:safe_load"])
    assert archive is not None
    assert zipfile.ZipFile(archive).namelist() == [f"own_archived/{n}" for n in ("__init__.py", "data.txt", "inner.py")]
    assert pack([], ["yaml:safe_load"]) is None and pack([], []) is None
    assert pack([tmp_path / "lib"], ["own_archived.inner:value"]) == pack([tmp_path / "lib"], [])


def test_a_folder_of_data_is_refused(code: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_archive, "MAX_BYTES", 10)
    with pytest.raises(ConfigError, match="^code: found .* MB of files; expected folders of modules alone"):
        pack([code], [])

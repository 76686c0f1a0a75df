"""A package of an extra that is absent, broken, or there."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tamis.errors import ConfigError
from tamis.extras import look_for, needs


def test_what_is_there_is_returned() -> None:
    assert needs("json", extra="train", for_="a test") is json
    look_for("json", "sys", extra="train", for_="a test")


def test_what_is_absent_is_one_sentence_with_the_line_of_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    said = "tamis train needs nowhere_at_all, which is not installed: pip install 'tamis[train]'"
    for ask in (needs, look_for):
        with pytest.raises(ConfigError) as error:
            ask("json", "nowhere_at_all.part", extra="train", for_="tamis train")
        assert str(error.value) == said
    monkeypatch.setitem(sys.modules, "json", None)  # Python's own way to hide one
    with pytest.raises(ConfigError, match="needs json, which is not installed"):
        look_for("json", extra="train", for_="a test")


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        ("import nowhere_at_all", "ModuleNotFoundError: No module named 'nowhere_at_all'"),
        ("raise OSError('libgpu.so.12:\\n cannot open')", "OSError: libgpu.so.12: cannot open"),
    ],
)
def test_what_is_broken_is_told_with_its_own_cause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, cause: str
) -> None:
    (tmp_path / "broken_package.py").write_text(body)
    monkeypatch.syspath_prepend(tmp_path)
    look_for("broken_package", extra="gpu", for_="a test")
    with pytest.raises(ConfigError) as error:
        needs("broken_package", extra="gpu", for_="a test")
    assert str(error.value) == (
        f"a test needs broken_package, which is installed but cannot be imported ({cause}): "
        "pip install --upgrade 'tamis[gpu]'"
    )

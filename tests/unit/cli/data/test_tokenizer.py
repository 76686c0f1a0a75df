"""`tamis tokenizer`: the files it writes, the tables it prints, and what it says of wrong input."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.data.tokenizer_options import parse_factors
from cli.main import app
from sampler.tokenizer.model import open_tokenizer
from tamis.errors import ConfigError
from tests.support.sampler_run import write_run

runner = CliRunner()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def model(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "new" / "ours.model"
    asked("train", str(run), "--out", str(path), "--vocab-size", "520", "--sample-bytes", "30000", "--factor", "zh=2")
    return path


def called(*arguments: str) -> Any:
    return runner.invoke(app, ["tokenizer", *arguments])


def asked(*arguments: str) -> Any:
    """What a command answers in JSON."""
    done = called(*arguments, "--format", "json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def refused(*arguments: str) -> str:
    """What a command says of wrong input."""
    done = called(*arguments)
    assert done.exit_code == 1 and done.exception is not None
    return str(done.exception)


def test_train_writes_a_model_and_what_it_was_made_from(run: Path, model: Path) -> None:
    facts = json.loads(model.with_name("ours.model.json").read_text())
    assert facts["digest"] == hashlib.sha256(model.read_bytes()).hexdigest() == open_tokenizer(model).digest
    assert (facts["vocab_size"], facts["seed"], facts["domain_factors"]) == (520, 0, {"zh": 2.0})
    english, chinese = facts["sampled"]["en"], facts["sampled"]["zh"]
    assert chinese["share"] == pytest.approx(2 * english["share"])
    assert 0 < english["documents"] < english["of_documents"] == 120 - 12
    assert sorted(path.name for path in model.parent.iterdir()) == ["ours.model", "ours.model.json"]


def test_training_again_gives_the_same_bytes(run: Path, model: Path, tmp_path: Path) -> None:
    again = tmp_path / "other.model"
    done = called("train", str(run), "--out", str(again), "--vocab-size=520", "--sample-bytes=30000", "--factor=zh=2")
    assert done.exit_code == 0 and "520 pieces" in done.stdout and "zh" in done.stdout
    for suffix in ("", ".json"):
        one, other = model.with_name(model.name + suffix), again.with_name(again.name + suffix)
        assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--factor", "zh"], "--factor: found 'zh'; expected DOMAIN=F"),
        (["--factor", "zh=two"], "--factor: found 'zh=two'; expected DOMAIN=F"),
        (["--factor", "zh=2", "--factor", "zh=3"], "--factor: found 'zh' twice"),
        (["--factor", "zh=-1"], "--factor zh: found -1.0"),
        (["--factor", "law=2"], "--factor law: found no domain of the run by that name; expected en, zh"),
        (["--vocab-size", "20"], "--vocab-size: found 20; expected at least 300"),
        ([], "--vocab-size: found 125696; expected at most "),
    ],
)
def test_train_refuses(run: Path, tmp_path: Path, options: list[str], said: str) -> None:
    assert said in refused("train", str(run), "--out", str(tmp_path / "x.model"), *options)
    assert list(tmp_path.iterdir()) == []


def test_out_is_a_file(run: Path, model: Path, tmp_path: Path) -> None:
    said = f"--out: found the folder {tmp_path}; expected the name of a .model file"
    assert refused("train", str(run), "--out", str(tmp_path)) == said
    assert refused("extend", str(model), "--with", str(model), "--out", str(tmp_path)) == said


def test_a_domain_may_hold_an_equals_sign() -> None:
    assert parse_factors(["a=b=0.5", "c*=2"]) == {"a=b": 0.5, "c*": 2.0}
    with pytest.raises(ConfigError, match="--factor: found '=2'"):
        parse_factors(["=2"])


def test_report_by_domain(run: Path, model: Path) -> None:
    found = asked("report", str(model), "--run", str(run), "--sample-bytes", "2000")
    assert found["groups"] == [{"name": "en", "origin": "held-out"}, {"name": "zh", "origin": "held-out"}]
    (ours,) = found["tokenizers"]
    assert ours["name"] == str(model) and ours["vocabulary"] == 520
    english, chinese = ours["groups"]["en"], ours["groups"]["zh"]
    assert english["bytes"] >= 2000 and english["round_trip_failures"] == 0
    assert chinese["characters"] < chinese["bytes"] / 2 and english["characters"] == english["bytes"]
    assert english["bytes_per_token"] == pytest.approx(english["bytes"] / english["tokens"], abs=1e-5)
    text = called("report", str(model), "--run", str(run)).stdout
    assert "tokens a character" in text and "held-out" in text and "0 of " in text


def test_report_on_files_with_peers(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "sampler.tokenizer.peers.find_peers", lambda: ({"Peer": open_tokenizer(model)}, ["X: left out"])
    )
    (tmp_path / "a.py").write_text("def f(x):\n    return x\n")
    found = asked("report", "--peers", "--input", f"code={tmp_path}/*.py")
    assert found["groups"] == [{"name": "code", "origin": "input"}]
    assert [tokenizer["name"] for tokenizer in found["tokenizers"]] == ["Peer"]
    assert found["left_out"] == ["X: left out"]
    assert "X: left out" in called("report", "--peers", "--input", f"code={tmp_path}/*.py").stdout


def test_report_refuses(run: Path, model: Path, tmp_path: Path) -> None:
    assert "found no tokenizer; expected a MODEL, --peers or both" in refused("report", "--run", str(run))
    assert "found no text; expected --run RUN or --input NAME=GLOB" in refused("report", str(model))
    assert "none.model: cannot be read" in refused("report", str(tmp_path / "none.model"), "--run", str(run))
    (tmp_path / "a.txt").write_text("text")
    twice = refused("report", str(model), "--run", str(run), "--input", f"en={tmp_path}/a.txt")
    assert "--input: found 'en', which the run has as a domain" in twice


def test_extend(run: Path, model: Path, tmp_path: Path) -> None:
    english, out = tmp_path / "en.model", tmp_path / "both.model"
    asked("train", str(run), "--out", str(english), "--vocab-size", "400", "--factor", "zh=0")
    before = english.read_bytes()
    found = asked(
        "extend", str(english), "--with", str(model), "--out", str(out), "--only-script=han", "--run", str(run)
    )
    assert english.read_bytes() == before and out.read_bytes().startswith(before)
    assert found["base_size"] == 400 and found["vocabulary"] == 400 + found["added"] == open_tokenizer(out).vocab_size
    assert found["added"] + found["known"] + found["filtered"] == 520 - 259
    assert json.loads(out.with_name("both.model.json").read_text())["added"] == found["added"]
    english_text, chinese_text = found["compression"]["en"], found["compression"]["zh"]
    assert english_text["encoded_as_before"] == english_text["after"]["documents"]
    assert english_text["before"] == english_text["after"]
    assert chinese_text["after"]["tokens"] < 0.5 * chinese_text["before"]["tokens"]
    assert chinese_text["after"]["round_trip_failures"] == 0
    text = called("extend", str(english), "--with", str(model), "--out", str(out), "--run", str(run)).stdout
    assert "added" in text and "encoded as before" in text


def test_extend_without_text_only_merges(model: Path, tmp_path: Path) -> None:
    found = asked("extend", str(model), "--with", str(model), "--out", str(tmp_path / "same.model"))
    assert found["added"] == 0 and found["compression"] == {}
    assert (tmp_path / "same.model").read_bytes() == model.read_bytes()


def test_extend_refuses(model: Path, tmp_path: Path) -> None:
    out = ["--out", str(tmp_path / "x.model")]
    assert "--only-script: found 'thai'; expected han" in refused(
        "extend", str(model), "--with", str(model), "--only-script", "thai", *out
    )
    assert "no.model: cannot be read" in refused("extend", str(model), "--with", str(tmp_path / "no.model"), *out)
    (tmp_path / "text.model").write_text("no model")
    assert "the second model is not a SentencePiece model" in refused(
        "extend", str(model), "--with", str(tmp_path / "text.model"), *out
    )
    assert not (tmp_path / "x.model").exists()

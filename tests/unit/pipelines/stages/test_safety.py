"""The safety stage on texts of a few sentences, with a model trained on the spot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from corpus.config import parse
from corpus.view import Edits, build_view
from pipelines.run.config import load_pipeline
from pipelines.run.profiles import CONF
from pipelines.spark.session import Cluster
from pipelines.stages.base import Batch, Verdict
from pipelines.stages.context import PrepareContext
from pipelines.stages.safety import Safety, SafetyDecision, SafetyEvidence
from tamis.errors import ConfigError
from text.arrow import TextColumn

KIND = [f"what a lovely garden you have here {name}" for name in "abcdefghij"]
CRUEL = [f"you wretched vermin should all vanish {name}" for name in "abcdefghij"]


def lines(path: Path, texts: list[str]) -> str:
    path.write_text("".join(json.dumps({"text": t}) + "\n" for t in texts), "utf-8")
    return path.name


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Safety:
    base = tmp_path_factory.mktemp("safety")
    (base / "words.txt").write_text("vermin\n害虫\n", "utf-8")
    common: dict[str, Any] = {"lang": "en", "split": "line"}
    references = [
        {"name": "kind", "source": "a", "label": "good", "paths": [lines(base / "kind.jsonl", KIND * 20)], **common},
        {"name": "cruel", "source": "b", "label": "bad", "paths": [lines(base / "cruel.jsonl", CRUEL * 20)], **common},
    ]
    body = {"training": {"references": references, "epoch": 30, "lr": 0.5}, "word_lists": ["words.txt"]}
    evidence = parse(SafetyEvidence, body, "stages.safety")
    found = Safety.prepare(evidence, PrepareContext(base / "models", base, Cluster()))
    assert sorted(found) == ["model", "words_000"]
    return Safety(evidence, {name: str(path) for name, path in found.items()})


def scanned(stage: Safety, texts: list[str]) -> pa.Table:
    column = TextColumn.from_texts(texts)
    rows = np.arange(len(texts), dtype=np.int32)
    view = build_view(column, Edits.none(len(texts)), rows)
    return stage.scan(Batch(rows, rows.astype(np.int64), "web", view, pa.table({})))


def decided(stage: Safety, texts: list[str], **limits: Any) -> Verdict:
    evidence = scanned(stage, texts)
    rows = evidence.column("row").to_numpy()
    return stage.decide(evidence, rows, 0, SafetyDecision(**limits), lambda *_: rows)


TEXTS = [
    KIND[0].capitalize() + ". " + KIND[3].capitalize() + ".",
    CRUEL[0].capitalize() + ". " + CRUEL[4].capitalize() + ".",
    KIND[0].capitalize() + ". " + CRUEL[4].capitalize() + ".",
    "",
    "vermin 害 虫 害-虫",
]


def test_scores_are_of_sentences_and_shares_of_bytes(trained: Safety) -> None:
    verdict = decided(trained, TEXTS)
    assert verdict.columns is not None and verdict.drops.num_rows == 0, "without a limit nothing is dropped"
    kind, cruel, mixed, empty, _ = verdict.columns.column("safety").to_pylist()
    assert kind > 0.8 > 0.2 > cruel and kind > mixed > cruel and empty == 0
    shares = verdict.columns.column("unsafe_share").to_numpy()
    bad = len(CRUEL[4].encode()) + 1
    assert shares[:4].tolist() == [0, 1, pytest.approx(bad / len(TEXTS[2].encode())), 0]
    assert verdict.columns.column("listed_terms").to_pylist() == [0, 2, 1, 0, 3]


@pytest.mark.parametrize(
    ("limits", "dropped"),
    [
        ({"max_unsafe_share": 0.4}, {1: "unsafe_share", 2: "unsafe_share"}),
        ({"max_unsafe_share": 0.6}, {1: "unsafe_share"}),
        ({"min_safety": 0.2, "max_unsafe_share": 1.0}, {1: "low_safety", 3: "low_safety"}),
        ({"max_listed_per_1000": 10.0}, {}),  # fewer than three
        ({"max_listed_per_1000": 10.0, "min_listed": 2}, {1: "listed_terms"}),
        (
            {"max_listed_per_1000": 0.0, "min_listed": 1, "max_unsafe_share": 0.6},
            {1: "unsafe_share", 2: "listed_terms"},
        ),
    ],
)
def test_limits_drop_with_their_reason(trained: Safety, limits: dict[str, Any], dropped: dict[int, str]) -> None:
    drops = decided(trained, TEXTS[:4], **limits).drops
    found = dict(zip(drops.column("row").to_pylist(), drops.column("reason").to_pylist(), strict=True))
    assert found == dropped


def test_word_lists_alone_leave_safety_unknown(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("spam\n", "utf-8")
    evidence = SafetyEvidence(word_lists=("words.txt",))
    found = Safety.prepare(evidence, PrepareContext(tmp_path / "models", tmp_path, Cluster()))
    verdict = decided(Safety(evidence, {n: str(p) for n, p in found.items()}), ["spam, spam and spam", "ham"])
    assert verdict.columns is not None
    assert verdict.columns.column("safety").to_pylist() == [None, None]
    assert verdict.columns.column("listed_terms").to_pylist() == [3, 0]


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ({}, "there is nothing to look for"),
        ({"model": "m", "training": {"references": []}}, "training"),
        ({"word_lists": ["w.txt"], "min_safety": 2}, "min_safety"),
        ({"word_list": ["w.txt"]}, "word_lists"),
    ],
)
def test_a_wrong_setting_is_one_sentence(tmp_path: Path, block: dict[str, Any], said: str) -> None:
    import yaml

    path = tmp_path / "own.yaml"
    body = {"extends": str(CONF / "pipelines" / "dedup.yaml"), "stages": {"safety": block}}
    path.write_text(yaml.safe_dump(body), "utf-8")
    with pytest.raises(ConfigError, match=said) as caught:
        load_pipeline(path)
    assert "\n" not in str(caught.value)


def test_a_missing_list_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"word_lists: found 'none\.txt'; expected files"):
        Safety.prepare(SafetyEvidence(word_lists=("none.txt",)), PrepareContext(tmp_path, tmp_path, Cluster()))

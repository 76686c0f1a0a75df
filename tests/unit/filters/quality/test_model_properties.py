"""Form, heads and neighbours equal their plain twins; what a stored model says does not depend on the batch."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters.linear.model import LinearModel
from filters.quality.fit_heads import EDGES, _logistic
from filters.quality.form import FEATURES, sentence_form
from filters.quality.heads import (
    PRIOR,
    UNSPACED_FROM,
    WINDOW,
    SentenceHeads,
    head_of,
    joint_scores,
    log_odds,
    neighbours,
    own_scores,
)
from filters.quality.model import SentenceModel
from tamis.errors import ConfigError
from tests.oracles.sentence_form import form
from tests.support.examples import examples
from text.arrow import TextColumn
from text.segment import sentences

TEXTS = st.text(
    st.sampled_from("aZé 9,.!?…~\"“(]/@'’\n\u3000\u2028中文，。！あア한ไทยΣ½Ⅷ😀★")
    | st.characters(exclude_categories=["Cs"], max_codepoint=0x2FFFF),
    max_size=40,
)
NAMED = (
    "CLICK HERE!!! Best price??",
    "It's fine (really).",
    "He said: “Go.”",
    "1. a list",
    "网络  销售，价格：9折！！",
    "",
    "   ",
    "http://a.b/c?d=e&f",
    "ſtrange ǅ titles",
    "\n\nbroken\nline\n",
    "ＷＩＤＥ　ｗｏｒｄｓ",
    "a\u0301b",
    "）",
    "…",
)


def check(texts: list[str]) -> None:
    found = sentence_form(TextColumn.from_texts(texts))
    assert found.shape == (len(texts), len(FEATURES)) and found.dtype == np.float32
    for row, text in zip(found, texts, strict=True):
        expected = form(text)
        assert dict(zip(FEATURES, row.tolist(), strict=True)) == pytest.approx(
            expected or dict.fromkeys(FEATURES, 0.0), abs=1e-6
        ), text


def test_the_form_of_some_sentences() -> None:
    check(list(NAMED))
    shout = dict(zip(FEATURES, sentence_form(TextColumn.from_texts([NAMED[0]]))[0].tolist(), strict=True))
    assert shout["shouted_words"] == 0.5 and shout["doubled_marks"] == pytest.approx(3 / 4)
    assert shout["ends_stop"] == 1 and shout["starts_upper"] == 1 and shout["longest_run"] == pytest.approx(math.log(4))


@examples(300)
@given(st.lists(TEXTS, max_size=5))
def test_the_form_equals_that_of_python_strings(texts: list[str]) -> None:
    check(texts)


def heads(seed: int = 1) -> SentenceHeads:
    """Heads of random weights; the last two edges of each feature are not there."""
    rng = np.random.default_rng(seed)
    edges = np.sort(rng.random((len(FEATURES), EDGES)).astype(np.float32) * 3, axis=1)
    edges[:, -2:] = np.inf
    points = rng.normal(size=(2, len(FEATURES), EDGES + 1)).astype(np.float32)
    return SentenceHeads(
        edges, points, rng.normal(size=(2, 2)).astype(np.float32), rng.normal(size=(2, 3)).astype(np.float32)
    )


@examples(60)
@given(st.lists(st.lists(TEXTS, max_size=6), max_size=4), st.integers(0, 5))
def test_heads_equal_adding_up_by_hand(documents: list[list[str]], seed: int) -> None:
    model, flat = heads(seed), [text for texts in documents for text in texts]
    ptr = np.cumsum([0, *map(len, documents)]).astype(np.int64)
    shapes = sentence_form(TextColumn.from_texts(flat))
    words = np.random.default_rng(seed).normal(size=len(flat)).astype(np.float32)
    own = own_scores(model, words, shapes)
    speaking = head_of(shapes)
    for i in range(len(flat)):
        h = int(shapes[i, FEATURES.index("share_single")] >= np.float32(UNSPACED_FROM))
        assert speaking[i] == h
        places = [sum(value > edge for edge in model.edges[j]) for j, value in enumerate(shapes[i])]
        total = sum(float(model.points[h, j, k]) for j, k in enumerate(places))
        assert own[i] == pytest.approx(model.own[h, 0] + model.own[h, 1] * float(words[i]) + total, abs=1e-4)
    near, joint = neighbours(own, ptr), joint_scores(model, own, shapes, ptr)
    for first, last in zip(ptr[:-1].tolist(), ptr[1:].tolist(), strict=True):
        for i in range(first, last):
            others = [float(own[k]) for k in range(max(first, i - WINDOW), min(last, i + WINDOW + 1)) if k != i]
            assert near[i] == pytest.approx(sum(others) / (len(others) + PRIOR), abs=1e-4)
            weights = model.joint[speaking[i]].tolist()
            logit = weights[0] + weights[1] * float(own[i]) + weights[2] * float(near[i])
            assert joint[i] == pytest.approx(1 / (1 + math.exp(-logit)), abs=1e-4)


def sentence_model() -> SentenceModel:
    words = LinearModel(("good", "bad"), np.arange(1, 4, dtype=np.uint64), -1, 8, np.ones((11, 2), np.float32))
    return SentenceModel(words, heads())


def test_a_document_scores_alike_in_any_batch() -> None:
    texts = ["One. Two, three! 四个字。 Five?", "", "菜单\n首页\n关于我们", "A long sentence about nothing. " * 9]
    model, column = sentence_model(), TextColumn.from_texts(texts)
    together = model.score(column, sentences(column))
    apart = [TextColumn.from_texts([text]) for text in texts]
    assert np.array_equal(together, np.concatenate([model.score(c, sentences(c)) for c in apart]))
    assert not np.allclose(together, model.score_alone(column, sentences(column)))


def test_a_folder_gives_the_model_back_and_a_changed_one_is_refused(tmp_path: Path) -> None:
    model = sentence_model()
    model.save(tmp_path)
    assert SentenceModel.load(tmp_path).digest == model.digest != model.words.digest
    about = json.loads((tmp_path / "heads.json").read_text())
    (tmp_path / "heads.json").write_text(json.dumps({**about, "features": about["features"][1:]}))
    with pytest.raises(ConfigError, match="train it anew"):
        SentenceModel.load(tmp_path)
    (tmp_path / "heads.json").write_text(json.dumps(about))
    np.save(tmp_path / "heads_own.npy", model.heads.own + 1)  # type: ignore[union-attr]
    with pytest.raises(ConfigError, match="does not match"):
        SentenceModel.load(tmp_path)
    (tmp_path / "heads_own.npy").unlink()
    with pytest.raises(ConfigError, match="no readable heads"):
        SentenceModel.load(tmp_path)
    (tmp_path / "heads.json").unlink()
    assert SentenceModel.load(tmp_path).heads is None, "a model of words alone"


def test_log_odds_are_finite() -> None:
    found = log_odds(np.array([0, 0.5, 1, 1e-30], np.float32))
    assert np.isfinite(found).all() and found[0] == found[1] == 0 and found[3] == pytest.approx(-found[2], abs=0.1)


def test_the_regression_finds_the_weights_that_made_its_labels() -> None:
    rng = np.random.default_rng(3)
    true = np.array([-0.5, 2.0, -1.0])
    design = np.concatenate([np.ones((40_000, 1)), rng.normal(size=(40_000, 2))], axis=1)
    design[:, 2] = design[:, 2] > 0
    good = rng.random(len(design)) < 1 / (1 + np.exp(-design @ true))
    numbers, flags = design[:, :2].astype(np.float32), design[:, 2:] > 0
    found = _logistic([(numbers[g], flags[g], label, 1.0) for g, label in ((good, 1.0), (~good, 0.0))], 3)
    assert found == pytest.approx(true, abs=0.08)

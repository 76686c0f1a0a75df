"""Our inference for linear models against fastText's own predict."""

from __future__ import annotations

import io
import itertools
import json
import random
from pathlib import Path

import numpy as np
import pytest
import zstandard

from filters.linear.fasttext_file import read_fasttext
from filters.linear.model import LinearModel, score, score_spans
from tamis.errors import ConfigError
from tests.oracles.text import tokens
from text.arrow import TextColumn
from text.segment import sentences

ENGLISH = ("The committee published a careful report on river levels", "CLICK here now!!! best price win win win")
CHINESE = ("研究人员在长江流域开展了为期三年的水文观测。", "点击领取优惠券，全场包邮！！！")
ODD = [
    "",
    "  \n ",
    "。。。",
    "zzzz qqqq",
    "ＣＯＶＩＤ-19 ①②",
    "Ｆｕｌｌ",
    "ὈΔΥΣΣΕΎΣ",
    "e\u0301te\u0301 été",
    "ภาษาไทย",
    "𠮷野家 é",
    "</s> x",
]


def _generated(n: int) -> list[tuple[str, str]]:
    rng = random.Random(7)
    lines = []
    for i in range(n):
        label = ("good", "bad")[i % 2]
        words = tokens(ENGLISH[i % 2] + " " + CHINESE[i % 2])
        lines.append((label, " ".join(rng.choices(words, k=rng.randint(1, 30))) + f" 第{rng.randint(0, 60)}期"))
    return lines


def _fasttext(folder: Path, lines: list[tuple[str, str]], **settings: object):  # type: ignore[no-untyped-def]
    import fasttext

    path = folder / "train.txt"
    path.write_text("".join(f"__label__{label} {' '.join(tokens(text))}\n" for label, text in lines), "utf-8")
    arguments = {"dim": 8, "epoch": 3, "lr": 0.3, "wordNgrams": 2, "minCount": 1, "bucket": 1 << 12, "seed": 1}
    model = fasttext.train_supervised(str(path), thread=1, verbose=0, **{**arguments, **settings})
    model.save_model(str(folder / "model.bin"))
    return model


def _predicted(model, text: str, label: str = "good") -> float:  # type: ignore[no-untyped-def]
    labels, probabilities = model.predict(" ".join(tokens(text)), k=-1)
    return dict(zip(labels, probabilities, strict=True)).get(f"__label__{label}", 0.0)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):  # type: ignore[no-untyped-def]
    folder = tmp_path_factory.mktemp("fasttext")
    model = _fasttext(folder, _generated(600))
    return model, LinearModel.from_fasttext(read_fasttext(folder / "model.bin"))


def test_equals_fasttext_on_generated_and_odd_texts(trained) -> None:  # type: ignore[no-untyped-def]
    theirs, ours = trained
    texts = [text for _, text in _generated(200)] + ODD + ["长 " * 9000]
    scores = score(ours, TextColumn.from_texts(texts))
    assert np.abs(scores - [_predicted(theirs, text) for text in texts]).max() < 1e-4


@pytest.mark.parametrize("settings", [{"wordNgrams": 1}, {"bucket": 999}, {"minCount": 40}], ids=str)
def test_equals_fasttext_with_other_settings(tmp_path, settings) -> None:  # type: ignore[no-untyped-def]
    theirs = _fasttext(tmp_path, _generated(300), **settings)
    ours = LinearModel.from_fasttext(read_fasttext(tmp_path / "model.bin"))
    texts = [text for _, text in _generated(100)] + ODD
    scores = score(ours, TextColumn.from_texts(texts))
    assert np.abs(scores - [_predicted(theirs, text) for text in texts]).max() < 1e-4


def test_three_labels(tmp_path) -> None:  # type: ignore[no-untyped-def]
    lines = [(("good", "bad", "spam")[i % 3], text) for i, (_, text) in enumerate(_generated(300))]
    theirs = _fasttext(tmp_path, lines)
    ours = LinearModel.from_fasttext(read_fasttext(tmp_path / "model.bin"))
    column = TextColumn.from_texts([text for _, text in lines])
    for label in ("good", "bad", "spam"):
        expected = [_predicted(theirs, text, label) for _, text in lines]
        assert np.abs(score(ours, column, label) - expected).max() < 1e-4
    with pytest.raises(ValueError, match="no label 'fine', only"):
        score(ours, column, "fine")


@pytest.mark.slow
@pytest.mark.data
def test_equals_fasttext_on_real_lines(tmp_path, shared_data: Path) -> None:  # type: ignore[no-untyped-def]
    def lines(name: str, most: int) -> list[str]:
        with (shared_data / f"{name}.jsonl.zst").open("rb") as file:
            stream = io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(file), "utf-8")
            texts = (json.loads(line)["text"] for line in stream)
            return list(itertools.islice((line for text in texts for line in text.split("\n")), most))

    good = lines("zh_news_articles", 3000) + lines("en_news_bbc", 3000)
    bad = lines("zh_reviews", 3000) + lines("en_toxic_davidson", 3000)
    assert "" in good
    theirs = _fasttext(
        tmp_path, [("good", t) for t in good] + [("bad", t) for t in bad], minCount=2, bucket=1 << 18, epoch=2
    )
    ours = LinearModel.from_fasttext(read_fasttext(tmp_path / "model.bin"))
    texts = good + bad + lines("zh_tech_lctt", 2000) + lines("web_pages_multilingual", 2000)
    expected = np.array([_predicted(theirs, text) for text in texts])
    assert np.abs(score(ours, TextColumn.from_texts(texts)) - expected).max() < 1e-4


def test_saved_and_loaded_is_the_same(trained, tmp_path) -> None:  # type: ignore[no-untyped-def]
    _, model = trained
    model.save(tmp_path / "a")
    model.save(tmp_path / "b")
    loaded = LinearModel.load(tmp_path / "a")
    assert loaded.digest == model.digest and loaded.labels == model.labels
    for file in sorted((tmp_path / "a").iterdir()):
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()
    column = TextColumn.from_texts([*ENGLISH, *CHINESE, ""])
    assert np.array_equal(score(loaded, column), score(model, column))


def test_changed_content_is_refused(trained, tmp_path) -> None:  # type: ignore[no-untyped-def]
    _, model = trained
    model.save(tmp_path)
    logits = np.load(tmp_path / "logits.npy")
    logits[0, 0] += 1
    np.save(tmp_path / "logits.npy", logits)
    with pytest.raises(ConfigError, match="does not match its digest"):
        LinearModel.load(tmp_path)
    with pytest.raises(ConfigError, match="no readable linear model"):
        LinearModel.load(tmp_path / "nowhere")


def test_damaged_and_foreign_files_are_refused(trained, tmp_path) -> None:  # type: ignore[no-untyped-def]
    theirs, _ = trained
    theirs.save_model(str(tmp_path / "model.bin"))
    data = (tmp_path / "model.bin").read_bytes()
    for name, content in (("cut", data[: len(data) // 2]), ("empty", b""), ("text", b"not a model at all")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ConfigError, match=name):
            read_fasttext(tmp_path / name)


def test_spans_are_scored_as_texts_of_their_own(trained) -> None:  # type: ignore[no-untyped-def]
    _, model = trained
    documents = ["", f"{ENGLISH[0]}. Then more.\n{CHINESE[0]}{CHINESE[1]}", "", "e\u0301 one. Two.", CHINESE[1], ""]
    column = TextColumn.from_arrow(TextColumn.from_texts(["left out", *documents]).to_arrow().slice(1))
    spans = sentences(column)
    pieces = spans.as_column(column)
    texts = [pieces.text_at(i) for i in range(len(pieces))]
    assert "".join(texts) == "".join(documents) and len(texts) > len(documents)
    assert np.array_equal(score_spans(model, column, spans), score(model, TextColumn.from_texts(texts)))


def test_scores_do_not_depend_on_the_batch(trained) -> None:  # type: ignore[no-untyped-def]
    _, model = trained
    texts = [text for _, text in _generated(50)]
    together = score(model, TextColumn.from_texts(texts))
    alone = [score(model, TextColumn.from_texts([text]))[0] for text in texts]
    assert np.array_equal(together, np.array(alone, np.float32))

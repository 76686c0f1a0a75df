"""lid.176 in our kernel against fastText's own predict."""

from __future__ import annotations

import io
import itertools
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import zstandard

from filters.language.lid import find_model, identify, load_model
from tamis.errors import ConfigError
from text.arrow import TextColumn

TEXTS = {
    "en": "The committee will publish its report on the water levels of the river next week.",
    "zh": "委员会将于下周公布有关长江水位的报告，研究人员已经完成了三年的观测。",
    "de": "Der Ausschuss wird seinen Bericht über die Wasserstände nächste Woche veröffentlichen.",
    "ru": "Комитет опубликует свой доклад об уровне воды в реке на следующей неделе.",
    "ja": "委員会は来週、川の水位に関する報告書を公表する予定です。",
    "ar": "ستنشر اللجنة تقريرها عن مستويات المياه في النهر الأسبوع المقبل.",
    "th": "คณะกรรมการจะเผยแพร่รายงานเรื่องระดับน้ำในแม่น้ำสัปดาห์หน้า",
    "ko": "위원회는 다음 주에 강의 수위에 관한 보고서를 발표할 예정이다.",
}
ODD = [
    "a",
    "中",
    "x\ty\vz\fw\rv",
    "nul\0byte",
    "𝕳𝖊𝖑𝖑𝖔 🙂 world",
    "e\u0301",
    "1 a 2",
    " 领先 空格 ",
    "w" * 3000,
    "汉" * 3000,
]


@pytest.fixture(scope="module")
def theirs():  # type: ignore[no-untyped-def]
    import fasttext

    model = fasttext.FastText._FastText()
    model.f.loadModel(str(find_model()))  # fasttext.load_model would print a warning
    return model


def _compare(theirs, texts: list[str]) -> None:  # type: ignore[no-untyped-def]
    codes, scores = identify(TextColumn.from_texts(texts), sample_bytes=0)
    for text, code, found in zip(texts, codes.to_pylist(), scores, strict=True):
        if code == "und":
            assert found == 0 and not any(char.isalpha() for char in text)
            continue
        labels, probabilities = theirs.predict(text.replace("\n", " "))
        assert labels[0] == f"__label__{code}", text
        assert abs(min(1.0, probabilities[0]) - found) < 1e-4, text


def test_equals_fasttext(theirs) -> None:  # type: ignore[no-untyped-def]
    _compare(theirs, [*TEXTS.values(), *ODD, *("\n".join(pair) for pair in itertools.permutations(TEXTS.values(), 2))])


@pytest.mark.data
@pytest.mark.parametrize("name", ["langid_udhr", "web_pages_zh", "web_pages_multilingual", "en_news_bbc", "zh_reviews"])
def test_equals_fasttext_on_real_lines(theirs, shared_data: Path, name: str) -> None:  # type: ignore[no-untyped-def]
    with (shared_data / f"{name}.jsonl.zst").open("rb") as file:
        stream = io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(file), "utf-8")
        texts = (json.loads(line)["text"] for line in stream)
        lines = list(itertools.islice((line for text in texts for line in text.split("\n")), 4000))
    _compare(theirs, lines)


def test_languages_are_named() -> None:
    codes, scores = identify(TextColumn.from_texts(list(TEXTS.values())))
    assert codes.to_pylist() == list(TEXTS)
    assert codes.type == pa.dictionary(pa.int16(), pa.string())
    assert scores.dtype == np.float32 and (scores > 0.5).all() and (scores <= 1).all()


def test_without_letters_nothing_is_claimed() -> None:
    codes, scores = identify(TextColumn.from_texts(["", " \n ", "12 % 34", "。！？", "→ ①"]))
    assert codes.to_pylist() == ["und"] * 5
    assert not scores.any()


def test_nulls_slices_and_an_empty_column() -> None:
    array = pa.array(["left out", None, TEXTS["zh"]])[1:]
    assert identify(TextColumn.from_arrow(array))[0].to_pylist() == ["und", "zh"]
    codes, scores = identify(TextColumn.from_texts([]))
    assert len(codes) == len(scores) == 0


@pytest.mark.parametrize("sample_bytes", [1, 5, 64, 100, 2048])
def test_a_sample_is_cut_between_characters(sample_bytes: int) -> None:
    texts = [TEXTS["zh"] * 40, "🙂é汉" * 500, TEXTS["en"] * 40]
    codes, _ = identify(TextColumn.from_texts(texts), sample_bytes=sample_bytes)
    assert len(codes) == 3
    if sample_bytes >= 100:
        assert [codes[0].as_py(), codes[2].as_py()] == ["zh", "en"]


def test_a_sample_sees_beyond_the_head() -> None:
    text = TEXTS["en"] * 20 + TEXTS["zh"] * 100
    assert identify(TextColumn.from_texts([text]))[0].to_pylist() == ["zh"]
    assert identify(TextColumn.from_texts([text]), pieces=1, sample_bytes=1024)[0].to_pylist() == ["en"]


def test_a_short_text_is_read_whole() -> None:
    column = TextColumn.from_texts(list(TEXTS.values()))
    assert np.array_equal(identify(column)[1], identify(column, sample_bytes=0)[1])


def test_the_model_has_a_digest_and_is_read_once() -> None:
    assert load_model().digest == "8f3472cfe8738a7b6099e8e999c3cbfae0dcd15696aac7d7738a8039db603e83"
    assert load_model() is load_model(find_model())


def test_a_missing_model_is_named(tmp_path) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ConfigError, match="stages.language.model: found '.*nowhere.ftz'; expected a file that exists"):
        identify(TextColumn.from_texts(["x"]), tmp_path / "nowhere.ftz")


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="sample_bytes must be 0"):
        identify(TextColumn.from_texts(["x"]), sample_bytes=-1)

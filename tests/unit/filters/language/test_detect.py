"""lid.176 with script rules, document by document and line by line."""

from __future__ import annotations

import io
import itertools
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import zstandard

from corpus.view import Edits, build_view
from filters.language.detect import detect, detect_lines
from filters.language.label_tree import best_leaf, leaf_score
from filters.language.lid import find_model, identify, load_model
from pipelines.run import publish
from pipelines.stages.base import Batch, Verdict
from pipelines.stages.language import Language, LanguageDecision, LanguageEvidence
from tests.oracles import language as oracle
from tests.unit.filters.language.test_lid import ODD, TEXTS
from text.arrow import TextColumn

MIXED = [
    TEXTS["en"] + "\n" + TEXTS["zh"] + "\n" + TEXTS["en"],
    TEXTS["zh"] + "\r\n" + TEXTS["ja"] + "\r\n\r\n",
    TEXTS["ru"] + "\u2028" + TEXTS["ko"] + "\u2029" + TEXTS["de"] + "\x85" + TEXTS["ar"],
    "Home\nNews\n" + TEXTS["zh"] + "\n© 2026\n",
    "\n".join(TEXTS.values()),
    "ＴＨＥ　ＲＩＶＥＲ　ＲＯＳＥ　ＡＧＡＩＮ\n🙂🙂🙂",
    "γλώσσα και γραφή\nქართული ენა მეგრული\nעברית שפה יפה\n",
]
"""More than one language or script in a text."""


@pytest.fixture(scope="module")
def probabilities() -> oracle.Probabilities:
    import fasttext

    model = fasttext.FastText._FastText()
    model.f.loadModel(str(find_model()))  # fasttext.load_model would print a warning

    def predict(text: str) -> dict[str, float]:
        labels, found = model.predict(text, -1)
        return {label.removeprefix("__label__"): p for label, p in zip(labels, found, strict=True)}

    return predict


def _compare(texts: list[str], probabilities: oracle.Probabilities) -> None:
    found = detect(TextColumn.from_texts(texts), sample_bytes=0)
    columns = found.codes.to_pylist(), found.scores, found.shares, found.seconds.to_pylist()
    for text, code, score, share, second in zip(texts, *columns, strict=True):
        expected = oracle.detect(text, probabilities)
        assert (code, second) == (expected[0], expected[3]), text
        assert score == pytest.approx(expected[1], abs=1e-4), text
        assert np.isnan(share) if expected[2] is None else share == pytest.approx(expected[2], abs=1e-6), text


def test_equals_its_twin(probabilities: oracle.Probabilities) -> None:
    _compare([*TEXTS.values(), *ODD, *MIXED, "", "\n", "12\r\n34"], probabilities)
    _compare(["\n".join(pair) for pair in itertools.permutations(TEXTS.values(), 2)], probabilities)


@pytest.mark.data
@pytest.mark.parametrize("name", ["langid_udhr", "web_pages_zh", "web_pages_multilingual", "zh_reviews"])
def test_equals_its_twin_on_real_text(probabilities: oracle.Probabilities, shared_data: Path, name: str) -> None:
    with (shared_data / f"{name}.jsonl.zst").open("rb") as file:
        stream = io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(file), "utf-8")
        texts = (json.loads(line)["text"] for line in stream)
        _compare([text[:3000] for text in itertools.islice(texts, 20)], probabilities)


def test_lines_equal_their_twin(probabilities: oracle.Probabilities) -> None:
    texts = ["", *MIXED, "no break at the end", "\r\n\n\r", *ODD]
    found = detect_lines(TextColumn.from_texts(texts))
    lines = [oracle.lines(text) for text in texts]
    assert np.diff(found.ptr).tolist() == [len(part) for part in lines]
    assert [found.lines.text_at(i) for i in range(len(found.lines))] == sum(lines, [])
    expected = [oracle.judge_line(line, probabilities) for line in sum(lines, [])]
    assert found.codes.to_pylist() == [code for code, _ in expected]
    assert found.scores == pytest.approx([score for _, score in expected], abs=1e-4)


@pytest.mark.parametrize(
    "text",
    [
        "今天天气不错，我们走吧",
        "外卖太慢了，菜都凉了。",
        "苹果发布会：新品价格曝光",
        "床前明月光，疑是地上霜。",
        "店家态度很好 味道也行",
        "房间有点小，隔音差",
        "關於修改章程的說明",
        "iPhone 手机壳质量还行",
    ],
)
def test_short_chinese(text: str) -> None:
    found = detect(TextColumn.from_texts([text]))
    assert found.codes.to_pylist() == ["zh"] and found.scores[0] > 0.5


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("안녕", "ko"),
        ("สวัสดี", "th"),
        ("Καλημέρα", "el"),
        ("ありがとう", "ja"),
        ("東京は今日も雨", "ja"),
        ("Բարեւ", "hy"),
        ("ສະບາຍດີ", "lo"),
        ("ជំរាបសួរ", "km"),
        ("မင်္ဂလာပါ", "my"),
        ("བཀྲ་ཤིས", "bo"),
        ("ሰላም", "am"),
        ("வணக்கம்", "ta"),
        ("నమస్కారం", "te"),
        ("ನಮಸ್ಕಾರ", "kn"),
        ("നമസ്കാരം", "ml"),
        ("ආයුබෝවන්", "si"),
        ("ਸਤਿ", "pa"),
        ("નમસ્તે", "gu"),
        ("ନମସ୍କାର", "or"),
        ("ދިވެހި", "dv"),
    ],
)
def test_a_script_of_one_language_decides_alone(text: str, code: str) -> None:
    found = detect(TextColumn.from_texts([text, text + " 2026 !"]))
    assert found.codes.to_pylist() == [code] * 2
    assert found.scores.tolist() == [1.0, 1.0]


def test_an_answer_is_written_in_the_texts_script() -> None:
    latin = ["ok", "w" * 30, "Q3 GDP", "xyz zyx yxz qqq"]
    cyrillic = ["жж", "ы" * 40, "ДА"]
    codes = detect(TextColumn.from_texts(latin + cyrillic)).codes.to_pylist()
    assert all(code in oracle.LANGUAGES["latin"].split() for code in codes[: len(latin)])
    assert all(code in oracle.LANGUAGES["cyrillic"].split() for code in codes[len(latin) :])


def test_without_letters_nothing_is_claimed() -> None:
    found = detect(TextColumn.from_texts(["", " \n ", "12 % 34", "。！？", "🙂\u2028→"]))
    assert found.codes.to_pylist() == ["und"] * 5 and not found.scores.any() and not found.letters.any()
    assert np.isnan(found.shares).all() and found.seconds.to_pylist() == [None] * 5


def test_nulls_slices_and_an_empty_column() -> None:
    array = pa.array(["left out", None, TEXTS["zh"]])[1:]
    assert detect(TextColumn.from_arrow(array)).codes.to_pylist() == ["und", "zh"]
    assert detect_lines(TextColumn.from_arrow(array)).ptr.tolist() == [0, 0, 1]
    nothing = TextColumn.from_texts([])
    assert len(detect(nothing).codes) == 0 and detect_lines(nothing).ptr.tolist() == [0]


def test_a_translation_lowers_the_share() -> None:
    text = "\n".join([TEXTS["en"], TEXTS["de"]] * 2 + [TEXTS["en"]] * 5)
    found = detect(TextColumn.from_texts([text]))
    english, german = (sum(oracle.letters(TEXTS[code]).values()) for code in ("en", "de"))
    assert found.codes.to_pylist() == ["en"] and found.seconds.to_pylist() == ["de"]
    assert found.shares[0] == pytest.approx(7 * english / (7 * english + 2 * german))


def test_short_lines_count_for_no_language() -> None:
    found = detect(TextColumn.from_texts(["Accueil\nNews\nKontakt\n" + TEXTS["en"] + "\nImpressum"]))
    assert found.codes.to_pylist() == ["en"] and found.shares.tolist() == [1.0] and found.seconds.to_pylist() == [None]


def test_a_text_alone_is_what_it_is_among_others() -> None:
    texts = [*TEXTS.values(), *ODD, *MIXED, TEXTS["en"] * 40 + "\n" + TEXTS["zh"] * 60]
    together = detect(TextColumn.from_texts(texts))
    for i, text in enumerate(texts):
        alone = detect(TextColumn.from_texts([text]))
        assert alone.codes[0] == together.codes[i] and alone.seconds[0].as_py() == together.seconds[i].as_py()
        assert alone.scores[0] == together.scores[i]
        assert np.array_equal(alone.shares[0], together.shares[i], equal_nan=True)


def test_where_no_script_rules_the_answer_is_lid176() -> None:
    texts = [TEXTS[code] for code in ("en", "de", "ru", "ar")]
    codes, scores = identify(TextColumn.from_texts(texts))
    found = detect(TextColumn.from_texts(texts))
    assert found.codes.to_pylist() == codes.to_pylist()
    assert found.scores == pytest.approx(scores, abs=1e-5)


def test_the_way_to_a_leaf_gives_the_number_of_the_search() -> None:
    tables = load_model().tables
    n = len(tables.nodes) + 1
    scratch = np.empty(n + 1, np.int32), np.empty(n + 1, np.float64)
    for seed in range(20):
        draw = np.random.default_rng(seed)
        hidden = draw.normal(0, 0.3, tables.vectors.shape[1]).astype(np.float32)
        every = np.array([leaf_score(hidden, tables.nodes, path, -np.inf) for path in tables.paths])
        for allowed in (np.ones(n, np.bool_), draw.random(n) < 0.1):
            best = int(np.argmax(np.where(allowed, every, -np.inf)))
            assert best_leaf(hidden, tables.nodes, tables.children, allowed, *scratch) == (best, every[best])


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="sample_bytes must be 0"):
        detect(TextColumn.from_texts(["x"]), sample_bytes=-1)


# ---------------------------------------------------------------------------------------------------------- the stage

ROWS = [TEXTS["en"], MIXED[0], "42", TEXTS["de"], TEXTS["zh"] + "\n" + TEXTS["de"]]


def _decide(**decision: object) -> Verdict:
    stage = Language(LanguageEvidence(), {"model": str(find_model())})
    rows = np.arange(3, 3 + len(ROWS), dtype=np.int32)
    stored = TextColumn.from_texts(ROWS)
    view = build_view(stored, Edits.none(10), rows, base=3)
    evidence = stage.scan(Batch(rows, rows.astype(np.int64) + 100, "web", view, pa.table({})))
    return stage.decide(evidence, rows, 100, LanguageDecision(**decision), lambda *_: np.zeros(0))


def test_the_stage_hands_its_columns_on() -> None:
    verdict = _decide()
    assert verdict.drops.num_rows == 0 and verdict.columns is not None
    assert verdict.columns.column_names == ["row", "doc_id", *Language.provides]
    assert [verdict.columns.schema.field(name).type for name in Language.provides] == list(Language.provides.values())
    columns = verdict.columns.to_pydict()
    assert columns["language"] == ["en", "en", "und", "de", columns["language"][4]]
    assert columns["language_share"][2] is None and columns["language_share"][3] == 1
    assert columns["second_language"][:4] == [None, "zh", None, None]


def test_mixed_documents_go_where_a_domain_says_so() -> None:
    drops = _decide(min_share=0.9).drops.to_pydict()
    assert drops["row"] == [4, 7] and drops["doc_id"] == [104, 107]
    assert drops["reason"] == ["mixed_language"] * 2
    drops = _decide(min_share=0.9, allowed=["en"], min_score=0.3).drops.to_pydict()
    assert dict(zip(drops["row"], drops["reason"], strict=True)) == {
        4: "mixed_language",
        5: "other_language",
        6: "other_language",
        7: "other_language",
    }


def test_a_share_that_is_not_known_is_published_as_null() -> None:
    class Task:
        def column(self, rows: object, stage: str, name: str, default: object) -> np.ndarray:
            return np.array([0.5, np.nan, None] if name == "language_share" else [None] * 3, object)

    found = publish._scores(Task(), np.arange(3, dtype=np.int32))  # type: ignore[arg-type]
    assert found["language_share"].to_pylist() == [0.5, None, None]
    assert found["second_language"].to_pylist() == [None] * 3 and found["exact_copies"].to_pylist() == [1] * 3

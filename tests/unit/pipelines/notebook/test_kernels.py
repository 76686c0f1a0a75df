"""Kernels over a list of texts: rows in the order of the texts, whatever they come in, and nulls where there is none.

That they say what the stages say of the same documents is held by `tests/engine/test_stages.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
import pandas
import polars
import pyarrow as pa
import pytest

from pipelines.notebook.duplicates import exact_duplicates, near_duplicate_pairs, near_duplicates
from pipelines.notebook.filters import heuristics, language, personal_data
from tamis.errors import ConfigError
from tests.oracles.text import shingles
from tests.support.corpora import planted

Kernel = Callable[[Any], pa.Table]
BY_ROW: tuple[Kernel, ...] = (exact_duplicates, near_duplicates, language, heuristics, personal_data)
TEXTS = [
    "The mill stood by the river.",
    None,
    "",
    "磨坊主打开了闸门。水流过木轮。",
    "\ud83d lone \udc00",
    "\U0001f600",
    "The mill stood by the river.",
]
WHOLE = [None if text is None else text.replace("\ud83d", "\ufffd").replace("\udc00", "\ufffd") for text in TEXTS]


@pytest.mark.parametrize("kernel", BY_ROW)
def test_a_row_a_text_null_where_there_is_none(kernel: Kernel) -> None:
    found = kernel(TEXTS)
    assert found.num_rows == len(TEXTS)
    row = found.slice(1, 1).to_pylist()[0]
    assert set(row.values()) == {None}
    assert any(value is not None for value in found.slice(2, 1).to_pylist()[0].values()), "an empty text is a text"
    assert found.equals(kernel(WHOLE)), "a lone surrogate is U+FFFD"
    alone = pa.concat_tables([kernel([text]) for text in WHOLE])
    if kernel not in (exact_duplicates, near_duplicates):
        assert found.equals(alone.combine_chunks()), "texts do not speak to one another"


@pytest.mark.parametrize("kernel", [*BY_ROW, near_duplicate_pairs])
def test_nothing_gives_nothing_of_the_same_types(kernel: Kernel) -> None:
    """An empty list, and a list of None."""
    assert kernel([]).num_rows == 0 and kernel([]).schema == kernel(TEXTS).schema
    assert kernel([None, None]).schema == kernel(TEXTS).schema


@pytest.mark.parametrize(
    "of",
    [
        tuple,
        pa.array,
        lambda texts: pa.chunked_array([texts[:2], [], texts[2:]], pa.string()),
        lambda texts: pa.array(["before", *texts, "behind"])[1:-1],
        lambda texts: pa.array(texts, pa.string_view()),
        lambda texts: pa.array(texts).dictionary_encode(),
        polars.Series,
        lambda texts: polars.Series(texts, dtype=polars.Categorical),
        pandas.Series,
        lambda texts: pandas.Series(texts, dtype="string"),
        lambda texts: pandas.Series(texts, dtype="category"),
        lambda texts: pandas.Series([np.nan if text is None else text for text in texts], index=range(50, 57)),
        lambda texts: np.array(texts, dtype=object),
    ],
)
def test_texts_come_in_any_of_the_forms_that_people_have(of: Callable[[Any], Any]) -> None:
    assert personal_data(of(WHOLE)).equals(personal_data(WHOLE))


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ("a text", "texts: found a str; expected a list of str"),
        (b"a text", "texts: found a bytes"),
        ({"a": "text"}, "texts: found a dict"),
        (3, "texts: found a int"),
        (["a", None, 3], r"texts\[2\]: found a int; expected a str or None"),
        ([b"\xff"], r"texts\[0\]: found a bytes"),
        (pa.array([1]), "texts: found an array of int64"),
        (pa.array([b"a"]), "texts: found an array of binary"),
        (pa.array([b"\xff"]).view(pa.string()), "expected valid UTF-8"),
    ],
)
def test_what_holds_no_texts_is_refused_by_its_place(texts: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        language(texts)


def test_exact_copies_are_named_by_the_first() -> None:
    """Equal after NFC and collapsed white space; texts without a character are equal too."""
    found = exact_duplicates(["e\u0301 a", "b", " é \n a", "", "  ", None, "é a", "B"])
    assert found["survivor"].to_pylist() == [0, 1, 0, 3, 3, None, 0, 7]
    assert found["copies"].to_pylist() == [3, 1, 3, 2, 2, None, 3, 1]


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("threshold", [0.7, 0.8, 0.9])
def test_pairs_and_groups_are_those_of_comparing_all(lang: str, threshold: float) -> None:
    """On texts with planted copies: no wrong pair, exact similarities, and groups that pairs connect."""
    texts = [document.text for document in planted(lang, 3, seed=int(threshold * 10))]
    options: dict[str, Any] = {"threshold": threshold, "bands": 32, "rows": 4}
    sets = [shingles(text) for text in texts]
    truth = {(a, b): len(sets[a] & sets[b]) / len(sets[a] | sets[b]) for a, b in combinations(range(len(texts)), 2)}
    pairs = near_duplicate_pairs(texts, **options).to_pylist()
    for pair in pairs:
        assert pair["similarity"] == pytest.approx(truth[pair["left"], pair["right"]], abs=1e-6)
        assert pair["similarity"] >= np.float32(threshold)
    found = near_duplicates(texts, **options).to_pydict()
    kept = {at for at, survivor in enumerate(found["survivor"]) if at == survivor}
    missed = [pair for pair in combinations(sorted(kept), 2) if truth[pair] >= threshold]
    assert len(pairs) > 5 and missed == []
    for at, survivor in enumerate(found["survivor"]):
        if at != survivor:
            assert survivor in kept and found["group"][at] == found["group"][survivor] is not None
            assert found["similarity"][at] == pytest.approx(truth[min(at, survivor), max(at, survivor)], abs=1e-6)
    grouped: dict[int, int] = {}
    for pair in pairs:
        a, b = (grouped.get(pair[end], pair[end]) for end in ("left", "right"))
        grouped |= {at: min(a, b) for at in range(len(texts)) if grouped.get(at, at) in (a, b)}
    assert [None if group is None else group for group in found["group"]] == [grouped.get(i) for i in range(len(texts))]


def test_the_better_text_survives() -> None:
    text = " ".join(f"word{n}" for n in range(40))
    texts = [text, text + " more", text.upper()]
    assert near_duplicates(texts)["survivor"].to_pylist() == [1, 1, 1], "the longest"
    assert near_duplicates(texts, quality=[0.1, 0.2, 0.9])["survivor"].to_pylist() == [2, 2, 2]
    with pytest.raises(ConfigError, match="quality: found 1 numbers for 3 texts"):
        near_duplicates(texts, quality=[1.0])
    code = [
        "def f(Limit):\n  return Limit < 3",
        "def f(limit):\n\n    return limit < 3",
        "def f(Limit):\n\treturn Limit < 3",
    ]
    assert len(set(near_duplicates(code)["survivor"].to_pylist())) == 1
    first, second, third = near_duplicates(code, tokens="code")["survivor"].to_pylist()
    assert first == third in (0, 2) and second == 1, "capitals count, white space between tokens does not"
    with pytest.raises(ConfigError, match=r"near_duplicates.tokens: found 'cod'"):
        near_duplicates(code, tokens="cod")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"near_duplicates.recall: found 0.95; expected at most .* use more bands"):
        near_duplicates(texts, threshold=0.4)


def test_thresholds_and_placeholders_are_a_pipelines() -> None:
    assert heuristics(["short"])["reason"].to_pylist() == ["gopher_word_count"]
    off = {"spaced": {"min_words": None, "min_stop_words": None, "min_mean_word_chars": None}}
    assert heuristics(["short text"], off)["reason"].to_pylist() != ["gopher_word_count"]
    with pytest.raises(ConfigError, match="thresholds.spaced.min_word"):
        heuristics(["short"], {"spaced": {"min_word": 1}})
    found = personal_data(["bob@example.org at 1.2.3.4"], {"email": None, "ip": "<HOST>"}).to_pylist()[0]
    assert (found["text"], found["pii_email"], found["pii_ip"]) == ("bob@example.org at <HOST>", 1, 1)

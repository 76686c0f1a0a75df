"""Scripts and lines of any text equal their slow twins."""

from __future__ import annotations

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from filters.language.detect import detect, detect_lines
from filters.language.scripts import HAN, HANZI, N_COUNTS, NAMES, main_script, read_line, script_table
from tests.oracles import language as oracle
from tests.support.examples import examples
from text.arrow import TextColumn

_CHARS = st.one_of(
    st.sampled_from(list("aZé汉字々〇かカー한ЖяعहখשγհქกລខမབਗગଗகగಗഗගދአＡｱ𠀀𝕳ᠮ🙂1 \t.。\u0301\u2027")),
    st.sampled_from(["\n", "\r", "\r\n", "\x85", "\u2028", "\u2029"]),
    st.characters(codec="utf-8"),
)
_TEXTS = st.lists(_CHARS, max_size=60).map("".join)


@examples()
@given(_TEXTS)
@example("ー" * 3 + "々")
def test_letters_and_main_script(text: str) -> None:
    data = np.frombuffer(text.encode(), np.uint8)
    letters = np.zeros(N_COUNTS, np.int64)
    at = 0
    while at < len(data):
        _, at, _ = read_line(data, at, len(data), script_table(), letters)
    counts = oracle.letters(text)
    number, share = main_script(letters)
    letters[HAN] += letters[HANZI]
    assert letters[:HANZI].tolist() == [0, *(counts[name] for name in (*NAMES, "other"))]
    assert ([None, *NAMES, "other"][number], share) == oracle.main_script(text)


@examples()
@given(st.lists(_TEXTS, max_size=6))
def test_lines_tile_their_documents(texts: list[str]) -> None:
    found = detect_lines(TextColumn.from_texts(texts))
    for i, text in enumerate(texts):
        assert [found.lines.text_at(k) for k in range(found.ptr[i], found.ptr[i + 1])] == oracle.lines(text)


@examples()
@given(st.lists(_TEXTS, min_size=1, max_size=6), st.sampled_from([0, 40, 2048]))
def test_bounds_and_independence(texts: list[str], sample_bytes: int) -> None:
    texts = [text * 4 for text in texts]
    found = detect(TextColumn.from_texts(texts), sample_bytes=sample_bytes)
    assert ((found.scores >= 0) & (found.scores <= 1)).all()
    for i, text in enumerate(texts):
        code, share, second = found.codes[i].as_py(), found.shares[i], found.seconds[i].as_py()
        assert np.isnan(share) or 0 <= share <= 1
        assert second != code and (second is None) == (np.isnan(share) or share == 1)
        if sample_bytes != 40:
            assert (code == "und") == (not oracle.letters(text))
        if sample_bytes:  # the sample of a text does not depend on its neighbours
            longest = "x" * sample_bytes
            pair = detect(TextColumn.from_texts([longest, text]), sample_bytes=sample_bytes)
            assert pair.codes[1].as_py() == code and np.array_equal(pair.shares[1], share, equal_nan=True)

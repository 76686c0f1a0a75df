"""Counting spans: the sorted kernels against dictionaries."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dedup.spans import count_spans, distinct
from tests.support.examples import examples
from text.arrow import TextColumn
from text.hash import mix
from text.segment import sentences_and_paragraphs
from text.sequences import nested_hashes, opening, positions_of, span_hashes
from text.tokens import token_hashes

HASHES = st.lists(st.integers(-3, 3) | st.integers(-(2**63), 2**63 - 1), max_size=60)
"""Some often equal; the small ones all fall into one slot of a table by highest bits."""


@examples()
@given(HASHES)
def test_distinct_hashes_with_first_row_and_count(hashes: list[int]) -> None:
    found, first, copies = distinct(np.array(hashes, np.int64))
    counts = Counter(hashes)
    assert found.tolist() == sorted(counts)
    assert first.tolist() == [hashes.index(h) for h in sorted(counts)]
    assert copies.tolist() == [counts[h] for h in sorted(counts)]


@examples()
@given(st.lists(st.integers(-3, 3) | st.integers(-(2**63), 2**63 - 1), unique=True, max_size=60), HASHES)
def test_positions_among_known_hashes(known: list[int], hashes: list[int]) -> None:
    found = positions_of(np.array(known, np.int64), np.array(hashes + known, np.int64))
    assert found.tolist() == [known.index(h) if h in known else -1 for h in hashes + known]


ROWS = st.lists(st.tuples(st.integers(0, 5), st.integers(1, 3), st.integers(0, 4), st.integers(0, 9)), max_size=40)


@examples()
@given(ROWS, st.integers(2, 5))
def test_owners_are_the_least_places_of_what_is_there_often(rows: list[tuple[int, ...]], least: int) -> None:
    columns = list(zip(*rows, strict=True)) or [()] * 4
    hashes, copies, doc_id, start = (np.array(c, np.int64) for c in columns)
    found = count_spans(hashes, copies, doc_id, start.astype(np.int32), least)
    total = {h: sum(row[1] for row in rows if row[0] == h) for h in set(hashes.tolist())}
    often = sorted(h for h, n in total.items() if n >= least)
    assert found.hash.tolist() == often
    assert found.copies.tolist() == [total[h] for h in often]
    places = [min((row[2], row[3]) for row in rows if row[0] == h) for h in often]
    assert list(zip(found.doc_id.tolist(), found.start.tolist(), strict=True)) == places
    told = {row: often[of] for row, of in zip(found.rows.tolist(), found.of.tolist(), strict=True)}
    assert told == {i: row[0] for i, row in enumerate(rows) if row[0] in often}


@examples()
@given(st.lists(st.text("ab c.A\n。一", max_size=40), max_size=5))
def test_nested_hashes_are_those_of_each_span_alone(texts: list[str]) -> None:
    column = TextColumn.from_texts(texts)
    inner, outer = sentences_and_paragraphs(column)
    by_outer, by_inner = nested_hashes(*token_hashes(inner.as_column(column)), opening(inner, outer))
    for spans, (hashes, tokens) in ((inner, by_inner), (outer, by_outer)):
        alone, sizes = span_hashes(spans.as_column(column))
        assert hashes.tolist() == alone.tolist()
        assert tokens.tolist() == sizes.tolist()


def test_texts_of_like_tokens_have_different_hashes() -> None:
    """All short sequences over few tokens, and over token hashes of few bits."""
    letters = ["a", "b", "c"]
    texts = [""]
    for _ in range(8):
        texts += [f"{t} {x}".strip() for t in texts[-(3 ** min(7, len(texts))) :] for x in letters]
    texts = sorted(set(texts))
    hashes, _ = span_hashes(TextColumn.from_texts(texts))
    assert len(texts) > 5000
    assert len(np.unique(hashes)) == len(texts)
    small = np.array([int(mix(np.uint64(i))) & 0xFF for i in range(4096)], np.uint64)  # 12 tokens a text
    ptr = np.arange(0, len(small) + 1, 12)[: len(small) // 12 + 1].astype(np.int64)
    (by_outer, _), _ = nested_hashes(ptr, small, np.arange(len(ptr) - 1, dtype=np.int64))
    rows = {tuple(small[ptr[i] : ptr[i + 1]].tolist()) for i in range(len(ptr) - 1)}
    assert len(np.unique(by_outer)) == len(rows)

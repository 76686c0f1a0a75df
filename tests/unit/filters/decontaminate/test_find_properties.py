"""Decontamination's kernels against lists of tokens: the same items, shares and places."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from filters.decontaminate.benchmark_items import Form, Item
from filters.decontaminate.build_index import build_index
from filters.decontaminate.find import find_items, merge_cuts
from filters.decontaminate.index import NGRAMS, TOO_SHORT, WHOLE, NgramConfig, NgramIndex
from tests.oracles.decontaminate import Sizes, alone, hits, searched, token_spans
from tests.oracles.text import tokens
from tests.support.examples import examples
from text.arrow import TextColumn
from text.chars import char_tables
from text.hash import mix, unmix
from text.segment import sentences
from text.token_bounds import token_bounds
from text.tokens import stands_alone, token_hashes

PIECES = ["a", "b", "cat", "Cat", "一", "二", "水", "é", "ｂ", "9", "internationalisation", "จ", "か"]
TEXT = st.lists(st.sampled_from([*PIECES, ". ", "。", "\n", " "]), max_size=40).map(" ".join)
ITEMS = st.lists(TEXT, min_size=1, max_size=8)
SIZES = st.tuples(st.integers(2, 5), st.integers(2, 7), st.integers(1, 5), st.integers(1, 7), st.integers(1, 3)).map(
    lambda s: Sizes(s[0], s[1], min(s[0], s[2]), min(s[1], s[3]), s[4])
)


def index_of(items: list[str], sizes: Sizes) -> NgramIndex:
    made = [Item("b", str(i), "f", i + 1, ((Form.QUESTION, text),)) for i, text in enumerate(items)]
    return build_index(made, NgramConfig(**vars(sizes)))


@examples(300)
@given(ITEMS, st.lists(TEXT, max_size=4), SIZES)
def test_hits_are_those_of_comparing_all_grams(items: list[str], documents: list[str], sizes: Sizes) -> None:
    documents = [*documents, *(f"{d} {i}" for d, i in zip(documents, items, strict=False))]
    index, column = index_of(items, sizes), TextColumn.from_texts(documents)
    wanted = searched(items, sizes)
    how = {n: (NGRAMS if own else WHOLE) for n, (_, own) in wanted.items()}
    for number, row in enumerate(index.items.to_pylist()):
        expected = how.get(number if row["same_as"] is None else row["same_as"], TOO_SHORT)
        assert row["searched_by"] == expected and row["tokens"] == len(tokens(items[number]))
    found = find_items(index, column)
    expected_rows = []
    for d, text in enumerate(documents):
        spans = token_spans(text)
        for item, runs in sorted(hits(items, text, sizes).items()):
            for grams, share, (a, b) in runs:
                expected_rows.append((d, item, grams, np.float32(share), spans[a][0], spans[b - 1][1]))
    columns = (found.document, found.item, found.grams, found.share, found.start, found.end)
    assert list(zip(*(c.tolist() for c in columns), strict=True)) == [
        (d, i, g, float(s), a, b) for d, i, g, s, a, b in expected_rows
    ]
    cut = sentences(column)
    for k in range(len(found)):
        starts = [*cut.starts[cut.ptr[found.document[k]] : cut.ptr[found.document[k] + 1]].tolist()]
        starts.append(int(column.lengths[found.document[k]]))
        low, high = int(found.first_sentence[k]), int(found.last_sentence[k])
        assert starts[low] == found.sentences_start[k] <= found.start[k] < starts[low + 1]
        assert starts[high - 1] < found.end[k] <= starts[high] == found.sentences_end[k]


@examples()
@given(
    st.lists(
        st.text(st.sampled_from("aB9 .,一水。\nｂ１ｶé½㍻①ﬁÅßΣ𠀀จか\u200b\u00ad\ufe0f\U000e0100"), max_size=30),
        max_size=5,
    )
)
def test_token_bounds_are_those_of_the_tokens(texts: list[str]) -> None:
    column = TextColumn.from_texts(texts)
    ptr, start, end = token_bounds(column)
    assert ptr.tolist() == token_hashes(column)[0].tolist()
    for i, text in enumerate(texts):
        expected = token_spans(text)
        assert list(zip(start[ptr[i] :], end[ptr[i] :], strict=True))[: len(expected)] == expected


@examples()
@given(st.lists(st.text("ab e\u0301\u0308 가각ᄀ\u1161\u11a8Σσ.Å\u0323の\u3099ﾞｶ\u200b\u2060", max_size=30), max_size=5))
def test_token_bounds_hold_the_tokens_where_marks_compose(texts: list[str]) -> None:
    """What a token's bytes fold to begins and ends with it; a piece of the text that composes stays whole."""
    column = TextColumn.from_texts(texts)
    ptr, start, end = token_bounds(column)
    assert ptr.tolist() == token_hashes(column)[0].tolist()
    for i, text in enumerate(texts):
        words = tokens(text)
        data = text.encode()
        for word, low, high in zip(words, start[ptr[i] : ptr[i + 1]], end[ptr[i] : ptr[i + 1]], strict=True):
            held = tokens(data[low:high].decode())
            assert word.replace("ς", "σ") in [h.replace("ς", "σ") for h in held] or any(word in h for h in held)


@examples()
@given(st.lists(st.text("ab9éß一水かจ𠀀אδ", min_size=1, max_size=12), max_size=20))
def test_a_token_tells_whether_it_stands_alone(texts: list[str]) -> None:
    text = " ".join(texts)
    _, hashes = token_hashes(TextColumn.from_texts([text]))
    classes = char_tables().classes
    assert [bool(stands_alone(h, classes)) for h in hashes] == [alone(t) for t in tokens(text)]


@examples()
@given(st.integers(0, 2**64 - 1))
def test_unmix_undoes_mix(number: int) -> None:
    assert int(unmix(np.uint64(mix(np.uint64(number))))) == number


@examples()
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 8), st.integers(1, 4)), max_size=12))
def test_merged_cuts_are_the_union(rows: list[tuple[int, int, int]]) -> None:
    document, first, size = (np.array(c, np.int32) for c in (zip(*rows, strict=True) if rows else ([], [], [])))
    cuts = merge_cuts(document.astype(np.int64), first, first + size)
    found = [
        (document[a], first[a], first[b] + size[b], n)
        for a, b, n in zip(cuts.lead, cuts.last, cuts.sentences, strict=True)
    ]
    taken = {(d, s) for d, low, high, _ in found for s in range(low, high)}
    assert taken == {(d, s) for d, low, n in rows for s in range(low, low + n)}
    assert sum(n for *_, n in found) == len(taken)  # disjoint
    assert not {(d, high) for d, _, high, _ in found} & taken  # and apart

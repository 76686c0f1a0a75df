"""A small crawl in both languages, and reference text that none of its pages is related to.

The raw text of a language is composed as the Baichuan 2 report's funnel describes a crawl, in shares of its bytes:

    29.89 %  exact copies of pages          4.83 %  junk: pages of short comments, and pages of scrambled words
    19.13 %  edited copies of pages        31.68 %  real pages: web, news, encyclopaedia, laws, judgments, abstracts
    14.47 %  passages that stand in many pages

Junk has the share that the report's heuristics and sentence quality removed (1.77 + 3.06). Which page is copied, and
which passage repeated, follows Zipf's law: a few are everywhere, most occur once. Edited copies come from
`benchmarks.corpora.edits`, with J from 0.97 down to 0.5; the real pages have duplicates, menus and templates of their
own.

*Reference text* is set apart first: whole articles of edited sources. Every text that has 20 % of the 5-grams of one of
them, or 20 % of its own 5-grams in common with one, is removed from the pool: copies, corrections, excerpts. The
finished pages are compared with the reference again, as passages and edits might bring something back; a page that is
related then is left out, and counted.

The same arguments give the same text. Cost: seconds a megabyte, mostly reading.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.corpora.base_text import DATA, LANGUAGES, read_records
from benchmarks.corpora.edits import EDITED, PROBE, RECIPES, Editor, render
from benchmarks.corpora.pieces import split
from text.arrow import TextColumn
from text.shingle import shingle_sets

PAGES = {
    "en": (
        "web_pages_en",
        "web_pages_multilingual",
        "web_warc_pages",
        "en_web_dolma_cc_head",
        "en_news_bbc",
        "en_news_nyt",
        "en_news_reuters",
        "en_mixed_nltk",
    ),
    "zh": (
        "web_pages_zh",
        "zh_news_articles",
        "zh_wiki_cmrc",
        "zh_tech_lctt",
        "zh_laws_versions",
        "zh_court_judgments",
        "zh_academic_abstracts",
    ),
}
"""The files that real pages come from: equal bytes of each, as far as it has them."""
REFERENCES = {"en": ("en_news_bbc", "en_news_nyt"), "zh": ("zh_news_articles", "zh_wiki_cmrc")}
COMMENTS = {"en": ("en_toxic_davidson",), "zh": ("zh_reviews", "zh_app_descriptions", "zh_toxic_cold", "zh_spam_mail")}
PAGE_BYTES = (400, 12_000)
COMMENT_PAGE_BYTES = 1500
SHARES = {"exact": 0.2989, "near": 0.1913, "passages": 0.1447, "junk": 0.0483, "pages": 0.3168}
"""Shares of the raw bytes, from the report's funnel."""
PASSAGES = 100
PASSAGE_BYTES = (80, 600)
MOST_SHARED = 0.2
"""The share of the smaller text's 5-grams at which a page counts as related to a reference."""

Rng = np.random.Generator


@dataclass(frozen=True)
class Crawl:
    """The text of one language.

    Attributes:
        pages: the raw pages, shuffled.
        junk: for each page whether it is junk, or a copy of junk.
        reference: the texts set apart.
        facts: bytes by kind, how much was excluded, the largest share that a page has in common with a reference.
    """

    pages: list[bytes]
    junk: list[bool]
    reference: list[bytes]
    facts: dict[str, float]


def make(out: Path, megabytes: float, reference_bytes: int, seed: int, data: Path = DATA) -> dict[str, Any]:
    """Writes `input/<lang>.parquet` and the reference as shards, `reference/shards/<lang>/`; returns the facts.

    Args:
        out: folder.
        megabytes: raw text of both languages, of 10^6 bytes.
        reference_bytes: reference text of each language.
        seed: of everything drawn.
        data: the shared data folder.
    """
    facts: dict[str, Any] = {}
    for number, lang in enumerate(LANGUAGES):
        rng = np.random.default_rng([seed, number])
        crawl = make_language(data, lang, int(megabytes * 1e6) // len(LANGUAGES), reference_bytes, rng)
        names = pa.array([f"{lang}-{i:06d}" for i in range(len(crawl.pages))])
        kinds = pa.array(["junk" if junk else "page" for junk in crawl.junk])
        _write(out / "input" / f"{lang}.parquet", {"id": names, "text": _strings(crawl.pages), "source": kinds})
        ids = pa.array(range(len(crawl.reference)), pa.int64())
        columns = {"doc_id": ids, "text": _strings(crawl.reference), "split": pa.array(["train"] * len(ids))}
        _write(out / "reference" / "shards" / lang / f"{lang}.parquet", columns)
        facts[lang] = crawl.facts
    return facts


def make_language(data: Path, lang: str, size: int, reference_bytes: int, rng: Rng) -> Crawl:
    """The crawl of one language, of about `size` bytes.

    Raises:
        SystemExit: the folder has too little text for it.
    """
    sources = {stem: _shuffled(read_texts(data, stem, lang, *PAGE_BYTES), rng) for stem in PAGES[lang]}
    reference = [
        text for stem in REFERENCES[lang] for text in _take(sources[stem], reference_bytes // len(REFERENCES[lang]))
    ]
    held = TextColumn.from_arrow(_strings(reference))
    kept = {stem: _apart(held, texts) for stem, texts in sources.items()}
    excluded = sum(map(len, sources.values())) - sum(map(len, kept.values()))
    pages = _evenly(list(kept.values()), int(SHARES["pages"] * size))
    rest = _shuffled([text for texts in kept.values() for text in texts], rng)
    if not rest or sum(map(len, pages)) < 0.95 * SHARES["pages"] * size:
        raise SystemExit(f"there is too little {lang} text in {data} for {size / 1e6:.1f} MB; lower --megabytes")
    comments = _shuffled([t for stem in COMMENTS[lang] for t in read_texts(data, stem, lang, 20, 2000)], rng)
    junk = junk_pages(_apart(held, comments), rest, lang, int(SHARES["junk"] * size), rng)
    originals = [*with_passages(pages, passages(rest, rng), int(SHARES["passages"] * size), rng), *junk]
    is_junk = np.arange(len(originals)) >= len(pages)
    again = popular(originals, int(SHARES["exact"] * size), rng)
    edited = popular(originals, int(SHARES["near"] * size), rng)
    texts = [*originals, *(originals[i] for i in again), *edited_copies(originals, lang, edited, rng)]
    spam = np.concatenate([is_junk, is_junk[again], is_junk[edited]])
    shared = most_shared(held, TextColumn.from_arrow(_strings(texts)))
    order = [int(i) for i in rng.permutation(len(texts)) if shared[i] < MOST_SHARED]
    sizes = {"pages": pages, "junk": junk, "reference": reference, "raw": [texts[i] for i in order]}
    facts: dict[str, float] = {f"{name}_bytes": sum(map(len, found)) for name, found in sizes.items()}
    facts |= {
        "documents": len(order),
        "exact_copies": len(again),
        "near_copies": len(edited),
        "reference_documents": len(reference),
        "relatives_excluded": excluded,
        "left_out_at_the_end": len(texts) - len(order),
        "most_shared": float(shared[order].max()),
    }
    return Crawl([texts[i] for i in order], [bool(spam[i]) for i in order], reference, facts)


def most_shared(held: TextColumn, others: TextColumn) -> npt.NDArray[np.float64]:
    """The share that each text has in common with its nearest reference: float64[len(others)].

    It is the number of common 5-grams over the size of the smaller set: 1 for a copy, and for an excerpt either way.
    """
    (held_ptr, held_hash, _), (ptr, hashes, _) = shingle_sets(held), shingle_sets(others)
    order = np.argsort(held_hash, kind="stable")
    held_hash, owner = held_hash[order], np.repeat(np.arange(len(held)), np.diff(held_ptr))[order]
    low, high = (np.searchsorted(held_hash, hashes, side) for side in ("left", "right"))
    times = high - low
    left = np.repeat(np.repeat(np.arange(len(others)), np.diff(ptr)), times)
    place = np.arange(len(left)) - np.repeat(np.cumsum(times) - times, times)
    right = owner[np.repeat(low, times) + place]
    pairs, shared = np.unique(left * len(held) + right, return_counts=True)
    a, b = np.divmod(pairs, max(1, len(held)))
    found = np.zeros(len(others))
    np.maximum.at(found, a, shared / np.minimum(np.diff(ptr)[a], np.diff(held_ptr)[b]))
    return found


def popular(texts: Sequence[bytes], size: int, rng: Rng) -> npt.NDArray[np.int64]:
    """Indices of texts to repeat, drawn by Zipf's law over a random ranking, until `size` bytes are reached."""
    if not texts:
        raise SystemExit("too little text: nothing to repeat; ask for more megabytes")
    weights = 1.0 / (1 + rng.permutation(len(texts)))
    drawn = rng.choice(len(texts), 8 + 4 * size // (1 + min(map(len, texts))), p=weights / weights.sum())
    until = np.cumsum([len(texts[i]) for i in drawn])
    return drawn[: int(np.searchsorted(until, size)) + 1].astype(np.int64)


def edited_copies(texts: Sequence[bytes], lang: str, which: npt.NDArray[np.int64], rng: Rng) -> list[bytes]:
    """An edited copy of each text that is named, by a random recipe."""
    editor = Editor.of(split([*texts, PROBE]), [lang] * len(texts))
    weights = np.array([recipe.weight for recipe in EDITED])
    recipe = rng.choice(len(EDITED), len(which), p=weights / weights.sum())
    ids, ptr = editor.copies(which, recipe, rng.integers(0, 2**63, len(which), dtype=np.uint64))
    case = np.array([r.case for r in RECIPES], np.uint8)[recipe]
    blob, ends = render(ids, ptr, case, editor.pieces.starts, editor.pieces.blob)
    return [blob[a:b].tobytes() for a, b in zip(ends, ends[1:], strict=False)]


def passages(texts: Sequence[bytes], rng: Rng) -> list[bytes]:
    """Paragraphs of pages that are not in the crawl."""
    low, high = PASSAGE_BYTES
    found = sorted({line for text in texts for line in text.split(b"\n") if low <= len(line) <= high})
    return [found[i] for i in rng.permutation(len(found))[:PASSAGES]]


def with_passages(texts: Sequence[bytes], several: Sequence[bytes], size: int, rng: Rng) -> list[bytes]:
    """The texts with passages inserted between their lines, `size` bytes in total."""
    lines = [text.split(b"\n") for text in texts]
    for i in popular(several, size, rng):
        page = lines[int(rng.integers(len(lines)))]
        page.insert(int(rng.integers(len(page) + 1)), several[i])
    return [b"\n".join(page) for page in lines]


def junk_pages(comments: Sequence[bytes], texts: Sequence[bytes], lang: str, size: int, rng: Rng) -> list[bytes]:
    """Half the bytes real comments, many to a page; half real pages with their words (or characters) shuffled."""
    found: list[bytes] = []
    page: list[bytes] = []
    for comment in _take(list(comments), size // 2):
        page.append(b" ".join(comment.split()))
        if sum(map(len, page)) >= COMMENT_PAGE_BYTES:
            found.append(b"\n".join(page))
            page = []
    for text in _take(list(texts), size - size // 2):
        words = text.decode().split() if lang == "en" else list(text.decode())
        found.append((" " if lang == "en" else "").join(words[i] for i in rng.permutation(len(words))).encode())
    return found


def read_texts(data: Path, stem: str, lang: str, low: int, high: int) -> list[bytes]:
    """The texts of a file that are of a language and of `low` to `high` bytes."""
    path = data / f"{stem}.jsonl.zst"
    records: Iterator[dict[str, object]] = read_records(path) if path.exists() else iter(())
    texts = (str(r["text"]).encode("utf-8", "replace") for r in records if str(r.get("lang"))[:2] == lang)
    return [text for text in texts if low <= len(text) <= high]


def _shuffled(texts: list[bytes], rng: Rng) -> list[bytes]:
    return [texts[i] for i in rng.permutation(len(texts))]


def _apart(held: TextColumn, texts: list[bytes]) -> list[bytes]:
    """The texts that are not related to a reference."""
    shared = most_shared(held, TextColumn.from_arrow(_strings(texts)))
    return [text for text, share in zip(texts, shared, strict=True) if share < MOST_SHARED]


def _take(texts: list[bytes], size: int) -> Iterator[bytes]:
    """Takes texts off the front of a list until `size` bytes are reached."""
    while texts and size > 0:
        text = texts.pop(0)
        size -= len(text)
        yield text


def _evenly(lists: list[list[bytes]], size: int) -> list[bytes]:
    """Equal bytes of each list; the others make up for what a short list lacks."""
    found: list[bytes] = []
    for left, texts in zip(range(len(lists), 0, -1), sorted(lists, key=lambda t: sum(map(len, t))), strict=True):
        found += _take(texts, (size - sum(map(len, found))) // left)
    return found


def _strings(texts: Sequence[bytes]) -> pa.Array:
    return pa.array(texts, pa.large_binary()).cast(pa.large_string())


def _write(path: Path, columns: dict[str, pa.Array]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path, compression="zstd")

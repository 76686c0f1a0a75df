"""Small raw inputs with planted truth, in English and in Chinese.

The documents are real text: chapters of Python's language reference and docstrings of its library, articles of
People's Daily. What repeats was planted and is known: every near copy carries its similarity, measured by
`tests.oracles.text.jaccard`; what only looks alike (filled-in templates, rewritten halves, short courtesies) is there
to be kept. A corpus depends on its size and seed alone.
"""

from __future__ import annotations

import functools
import gzip
import json
import random
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import zstandard

from filters.quality.packaged_texts import docstrings, language_reference, peoples_daily
from tamis.errors import TamisError
from tests.oracles.text import jaccard, shingles

BINS = ((0.8, 0.85), (0.85, 0.9), (0.9, 0.95), (0.95, 0.995))
"""Similarities of the planted near copies."""
KEPT_BIN = (0.45, 0.6)
"""Similarities of documents that share much and still must stay."""

BROKEN_LINES = (
    b'{"id": "broken-json", "text": "no end',
    b'{"id": "no-text", "title": "nothing else"}',
    b'{"id": "empty-text", "text": "  \\n "}',
    b'{"id": "invalid-utf8", "text": "\xff\xfe broken"}',
)
BROKEN_REASONS = Counter(["broken_json", "no_text", "empty_text", "invalid_utf8"])

BOILERPLATE = {
    "en": (
        "By using this page you agree that we may store cookies on your device and share how you use the page with the "
        "partners of our advertising network.",
        "The text above was prepared by the editors of the archive and may be reprinted for teaching, as long as this "
        "note stays where it is.",
    ),
    "zh": (
        "本网站的所有文章版权均归原作者所有，未经书面授权任何单位和个人不得以任何方式转载，违者将依法追究责任。",
        "欢迎关注我们的公众号，每天早上八点准时为您推送最新的新闻资讯，更多精彩内容请点击下方的链接继续阅读。",
    ),
}
REPEATED_SENTENCE = {
    "en": "Readers who want to know more about it should turn to the second volume of the handbook of the institute.",
    "zh": "有兴趣的读者可以到本市图书馆三楼的参考阅览室查阅这一事件的全部原始档案和照片。",
}
THANKS = {"en": "Thanks.", "zh": "谢谢。"}

_FRAMES = {
    "en": (
        "Notice of the registry on {0}\n\nThe entry below was filed in the ordinary way and is published as the rules "
        "require. Objections may be sent to the registry within thirty days.\n\n{1}",
        "{1}\n\nThis page belongs to the catalogue of {0}. Every page of the catalogue has the same layout, and the "
        "numbers in the margin refer to the printed edition of the year before.",
    ),
    "zh": (
        "关于{0}的公告\n\n根据有关规定，现将下列事项予以公布。自公告之日起三十日内，有关单位和个人可以向本机关提出书面意见。\n\n{1}",
        "{1}\n\n以上内容选自本馆所藏《{0}》，排版与原书一致，页边的数字是旧版的页码，供读者核对时参考使用。",
    ),
}


@dataclass(frozen=True)
class Document:
    """One raw document.

    Attributes:
        name: its `source_id`.
        text: as it is written to the input.
        domain: of the input.
        lang: "en" or "zh".
        kind: what was planted.
        of: the document that it was made from.
        similarity: to that one, by the oracle.
        url: where it was found.
    """

    name: str
    text: str
    domain: str
    lang: str
    kind: str
    of: str | None = None
    similarity: float | None = None
    url: str | None = None


@dataclass
class Corpus:
    """Raw documents in input order.

    Attributes:
        documents: all of them; ids follow this order within a domain.
    """

    documents: list[Document] = field(default_factory=list)

    @property
    def by_name(self) -> dict[str, Document]:
        """Documents by `source_id`."""
        return {d.name: d for d in self.documents}

    def kind(self, *kinds: str, lang: str | None = None) -> list[Document]:
        """The documents of some kinds."""
        return [d for d in self.documents if d.kind in kinds and lang in (None, d.lang)]

    def domains(self) -> list[str]:
        """The domains, sorted."""
        return sorted({d.domain for d in self.documents})

    def write(self, folder: Path, files: int = 3, broken: bool = False) -> dict[str, str]:
        """Writes JSON lines, plain, gzip and zstd in turn; returns domain → glob."""
        globs = {}
        for domain in self.domains():
            mine = [d for d in self.documents if d.domain == domain]
            below = folder / domain
            below.mkdir(parents=True, exist_ok=True)
            size = -(-len(mine) // files)
            for part in range(files):
                lines = [_line(d) for d in mine[part * size : (part + 1) * size]]
                if broken and part == 0:
                    lines[1:1] = BROKEN_LINES
                data = b"".join(line + b"\n" for line in lines)
                name = below / f"part-{part:02d}.jsonl"
                if part % 3 == 1:
                    name.with_suffix(".jsonl.gz").write_bytes(gzip.compress(data, mtime=0))
                elif part % 3 == 2:
                    name.with_suffix(".jsonl.zst").write_bytes(zstandard.ZstdCompressor().compress(data))
                else:
                    name.write_bytes(data)
            globs[domain] = f"{below}/*"
        return globs


def _line(document: Document) -> bytes:
    body = {"id": document.name, "text": document.text, "lang": document.lang, "kind": document.kind}
    if document.url:
        body["url"] = document.url
    return json.dumps(body, ensure_ascii=False).encode()


# ------------------------------------------------------------------------------------------------------ base text


@functools.cache
def english_texts() -> tuple[str, ...]:
    """Passages of Python's documentation, 90 to 260 words each, none sharing much with an earlier one."""
    chapters = [text.text for text in language_reference()]
    for package in ("asyncio", "email", "logging", "unittest", "concurrent", "multiprocessing"):
        chapters += [text.text for text in docstrings(package, minimum_chars=500)]
    return tuple(_distinct(passage for text in chapters for passage in _passages(text, 90, 260, str.split)))


@functools.cache
def chinese_texts() -> tuple[str, ...]:
    """Passages of People's Daily, 150 to 500 characters each, none sharing much with an earlier one."""
    try:
        articles = [text.text for _, text in peoples_daily()]
    except TamisError as error:
        pytest.skip(f"Chinese text comes with the `default` extra: {error}")
    chosen = articles[: len(articles) // 2]
    return tuple(_distinct(passage for text in chosen for passage in _passages(text, 150, 500, list)))


def texts(lang: str) -> tuple[str, ...]:
    """The passages of a language."""
    return english_texts() if lang == "en" else chinese_texts()


def _passages(text: str, least: int, most: int, units: Callable[[str], Sequence[str]]) -> Iterable[str]:
    """Whole paragraphs in a row until they are long enough; too long ones are left out."""
    taken: list[str] = []
    separator = "\n\n" if "\n\n" in text else "\n"
    for paragraph in text.split(separator):
        taken.append(paragraph.strip("\n"))
        size = len(units("\n".join(taken)))
        if size >= least:
            if size <= most:
                yield separator.join(taken)
            taken = []


def _distinct(passages: Iterable[str]) -> Iterable[str]:
    seen: set[tuple[str, ...]] = set()
    for passage in passages:
        mine = shingles(passage)
        if len(mine) > 60 and len(mine & seen) <= 0.1 * len(mine):
            seen |= mine
            yield passage


# -------------------------------------------------------------------------------------------------- what is planted


def edited(
    text: str, lang: str, low: float, high: float, rng: random.Random, where: tuple[float, float] = (0, 1)
) -> str:
    """The text with words (characters) exchanged until its similarity to the original lies in [low, high)."""
    pieces = re.split(r"(\s+)", text) if lang == "en" else list(text)
    places = [i for i, p in enumerate(pieces) if _is_word(p, lang)]
    places = places[int(where[0] * len(places)) : int(where[1] * len(places))]
    pool = [p for p in re.split(r"\s+" if lang == "en" else "", rng.choice(texts(lang))) if _is_word(p, lang)]
    for attempt in range(20):
        changed = list(pieces)
        allowed = places if attempt < 10 else places[-6:]  # a word at the end is in fewer shingles
        for place in rng.sample(allowed, len(allowed)):
            changed[place] = rng.choice(pool)
            found = jaccard(text, "".join(changed))
            if found < low:
                break
            if found < high and found < 1:
                return "".join(changed)
    for count in range(1, 40):  # short, and it ends in no plain word: something is added
        longer = f"{text} " + (" " if lang == "en" else "").join(pool[:count])
        if low <= jaccard(text, longer) < high:
            return longer
    raise AssertionError(f"no edit of this text lies in [{low}, {high})")


def _is_word(piece: str, lang: str) -> bool:
    return piece.isalpha() if lang == "en" else "\u4e00" <= piece <= "\u9fff"


def half_rewritten(text: str, other: str, lang: str, low: float, high: float) -> str:
    """The text with its end replaced by another's, so that the similarity lies in [low, high)."""
    separator = " " if lang == "en" else ""
    mine = text.split(" ") if lang == "en" else list(text)
    theirs = other.split(" ") if lang == "en" else list(other)
    for tenth in range(5, 60):
        cut = len(mine) - len(mine) * tenth // 100
        made = separator.join(mine[:cut] + theirs[: len(mine) - cut])
        if low <= jaccard(text, made) < high:
            return made
    raise AssertionError("no cut gives this similarity")


def exact_variant(text: str, number: int) -> str:
    """The same text as "exact" sees it: copied, with other white space, in another Unicode form."""
    if number % 3 == 0:
        return text
    if number % 3 == 1:
        return "  " + text.replace("\n", " \r\n ") + "\n"
    return unicodedata.normalize("NFD", text)


@dataclass
class _Builder:
    lang: str
    seed: int
    domain: str
    rng: random.Random = field(init=False)
    pool: list[str] = field(init=False)
    out: list[Document] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rng = random.Random(f"{self.lang}-{self.seed}")
        self.pool = list(texts(self.lang))
        self.rng.shuffle(self.pool)

    def take(self) -> str:
        if not self.pool:
            raise AssertionError(f"not enough {self.lang} text for a corpus of this size")
        return self.pool.pop()

    def add(self, text: str, kind: str, of: Document | None = None, domain: str | None = None) -> Document:
        similarity = jaccard(of.text, text) if of else None
        name = f"{self.lang}-{kind}-{len(self.out):04d}"
        made = Document(
            name,
            text,
            domain or self.domain,
            self.lang,
            kind,
            of.name if of else None,
            similarity,
            f"https://www.example.org/{name}",
        )
        self.out.append(made)
        return made


def planted(lang: str, size: int = 24, seed: int = 1, domain: str | None = None) -> list[Document]:
    """A language's documents with all that is planted, in a shuffled order.

    Args:
        lang: "en" or "zh".
        size: documents of each of the commoner kinds; the corpus has some seventeen times as many.
        seed: of choice, edits and order.
        domain: the input's domain; the language by default.
    """
    b = _Builder(lang, seed, domain or lang)
    base = [b.add(b.take(), "base") for _ in range(6 * size)]
    for number, original in enumerate(base[:size]):
        b.add(exact_variant(original.text, number), "exact_copy", original)
    for original in base[:3]:
        b.add(original.text, "exact_copy", original)
    for place, (low, high) in enumerate(BINS):
        for original in base[(place + 1) * size : (place + 2) * size]:
            b.add(edited(original.text, lang, low, high, b.rng), "near_copy", original)
    for original in base[5 * size :]:
        b.add(half_rewritten(original.text, b.take(), lang, *KEPT_BIN), "must_stay", original)
    for _ in range(max(2, size // 6)):
        _chain(b)
    for frame in _FRAMES[lang]:
        for number in range(size):
            words = b.take()
            content = " ".join(words.split()[:14]) if lang == "en" else words[:24]
            b.add(frame.format(f"{number + 3} {b.rng.choice('ABCDEFGH')}", content), "template")
    _boilerplate(b, size)
    b.rng.shuffle(b.out)
    return b.out


def _chain(b: _Builder) -> None:
    """A ≈ B ≈ C, and A is not like C."""
    while True:
        text = b.take()
        middle = edited(text, b.lang, 0.8, 0.83, b.rng, (0, 0.45))
        end = edited(middle, b.lang, 0.8, 0.83, b.rng, (0.55, 1))
        if jaccard(text, end) < 0.72:
            break
    first = b.add(text, "chain")
    second = b.add(middle, "chain", first)
    b.add(end, "chain", second)


def _boilerplate(b: _Builder, size: int) -> None:
    """The same paragraphs and sentence under many documents, and courtesies too short to be looked at."""
    tails = {"en": " It stands on shelf {}.", "zh": "索书号是第{}号。"}
    for number in range(size):
        text = b.take()
        if number % 2:
            text = f"{text}\n\n{REPEATED_SENTENCE[b.lang]}{tails[b.lang].format(number)}"
        b.add(f"{text}\n\n{BOILERPLATE[b.lang][number % 2]}\n\n{THANKS[b.lang]}", "boilerplate")


def planted_corpus(size: int = 24, seed: int = 1, langs: Sequence[str] = ("en", "zh")) -> Corpus:
    """`planted` in several languages, a domain each."""
    return Corpus([d for lang in langs for d in planted(lang, size, seed)])


def with_promotions(corpus: Corpus, count: int, first: str, second: str) -> Corpus:
    """Adds texts that occur in two domains: one copy in `first` (of lower ids, by its name), two in `second`."""
    added: list[Document] = []
    taken = {d.text for d in corpus.documents}
    fresh = [t for t in english_texts() if t not in taken][-count:]
    for number, text in enumerate(fresh):
        one = Document(
            f"promoted-{number:02d}-0", text, first, "en", "contender", url=f"https://forum.example.net/{number}"
        )
        two = replace(one, name=f"promoted-{number:02d}-1", domain=second, of=one.name, similarity=1.0)
        added += [one, two, replace(two, name=f"promoted-{number:02d}-2")]
    return Corpus([*corpus.documents, *added])


# ----------------------------------------------------------------------------------------------------- the oracle


def similar_pairs(documents: Sequence[Document], least: float) -> dict[tuple[str, str], float]:
    """Every pair of documents whose exact similarity is at least `least`, not only planted ones.

    Through an inverted index of shingles, which misses no pair that shares one.
    """
    sets = {d.name: shingles(d.text) for d in documents}
    holders: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for name, mine in sets.items():
        for shingle in mine:
            holders[shingle].append(name)
    both: Counter[tuple[str, str]] = Counter()
    for names in holders.values():
        ordered = sorted(names)
        both.update((a, b) for i, a in enumerate(ordered) for b in ordered[i + 1 :])
    found = {}
    for (a, b), n in both.items():
        similarity = n / (len(sets[a]) + len(sets[b]) - n)
        if similarity >= least:
            found[a, b] = similarity
    return found

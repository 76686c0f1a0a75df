"""Pairs of real texts of which one is the better copy: clean beside damaged or wrapped, whole beside a part of it.

The clean texts are of some twenty sources of the shared data folder. What wraps them is page boilerplate (text of a
page outside its main content), remarks of readers (reviews, forum posts), and banners and advertising written here;
what damages them is made by rule. Everything is a function of (seed, document). Cost: some 10 s.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.corpora.base_text import read_records
from benchmarks.corpora.strange_matter import ADVERTS, BANNERS, REMARKS

SOURCES = {
    "en": [
        "en_news_bbc",
        "en_news_nyt",
        "en_news_reuters",
        "en_books_gutenberg",
        "en_mixed_nltk",
        "en_brown",
        "en_wiki_wikitext2",
        "en_web_fake_satire",
        "en_web_dolma_cc_head",
        "web_pages_en",
        "web_pages_multilingual",
    ],
    "zh": [
        "zh_news_articles",
        "zh_blog_weekly",
        "zh_books_novels",
        "zh_academic_abstracts",
        "zh_laws_versions",
        "zh_tech_goldminer",
        "zh_tech_lctt",
        "zh_wiki_cmrc",
        "zh_court_judgments",
        "zh_app_descriptions",
        "web_pages_zh",
    ],
}
HELD_OUT = [
    "en_news_nyt",
    "en_books_gutenberg",
    "en_wiki_wikitext2",
    "web_pages_en",
    "zh_blog_weekly",
    "zh_books_novels",
    "zh_news_articles",
    "zh_wiki_cmrc",
    "web_pages_zh",
]
"""Sources that the weights of `filters.damage` are not fitted on."""
MIN_BYTES, MAX_BYTES, A_SOURCE = 300, 20_000, 900
_MOST_ADDED = 0.22
"""Share of its own length that a text gets at most: the copies must still merge."""
Rng = random.Random


@dataclass(frozen=True, slots=True)
class Pair:
    """Two copies of a text; `source` is where it is from, `kind` what tells them apart."""

    kind: str
    lang: str
    source: str
    better: str
    worse: str


@dataclass(frozen=True, slots=True)
class Matter:
    """What real pages and readers put around texts, by language."""

    boilerplate: dict[str, list[str]]
    remarks: dict[str, list[str]]


def clean_texts(data: Path, seed: int) -> list[tuple[str, str, str]]:
    """Language, source and text, of each source at most `A_SOURCE`, shuffled; of pages the main content."""
    found = []
    for lang, names in SOURCES.items():
        for name in names:
            key = "main" if name.startswith("web_pages") else "text"
            records = (r for r in read_records(data / f"{name}.jsonl.zst") if str(r.get("lang", lang))[:2] == lang)
            texts = [str(r.get(key) or "").strip() for r in records]
            texts = list(dict.fromkeys(t for t in texts if MIN_BYTES <= len(t.encode("utf-8", "replace")) <= MAX_BYTES))
            Rng(f"{seed} {name}").shuffle(texts)
            found += [(lang, name, text) for text in texts[:A_SOURCE]]
    Rng(seed).shuffle(found)
    return found


def real_matter(data: Path, seed: int) -> Matter:
    """Blocks of lines of pages that are not their main content; sentences of reviews and forums."""
    boilerplate: dict[str, list[str]] = {"en": [], "zh": []}
    rng = Rng(seed)
    for name in ("web_pages_en", "web_pages_multilingual", "web_pages_zh", "web_warc_pages"):
        for record in read_records(data / f"{name}.jsonl.zst"):
            lang, main = str(record.get("lang"))[:2], str(record.get("main") or "")
            if lang in boilerplate and main:
                lines = [line.strip() for line in str(record["text"]).split("\n")]
                lines = [line for line in lines if line and line not in main]
                while lines:
                    size = rng.randint(1, 8)
                    boilerplate[lang].append("\n".join(lines[:size]))
                    lines = lines[size:]
    remarks = {"en": ["en_toxic_davidson"], "zh": ["zh_reviews", "zh_toxic_cold"]}
    told = {
        lang: [t for n in names for r in read_records(data / f"{n}.jsonl.zst") if 15 <= len(t := _one_line(r)) <= 300]
        for lang, names in remarks.items()
    }
    for record in read_records(data / "en_mixed_nltk.jsonl.zst"):
        if "webtext" in str(record.get("source", record.get("id", ""))):
            posts = (re.sub(r"^\w+: ", "", line.strip()) for line in str(record["text"]).split("\n"))
            told["en"] += [post for post in posts if 20 < len(post) < 300]
    return Matter(boilerplate, told)


def _one_line(record: dict[str, object]) -> str:
    return str(record["text"]).replace("\n", " ").strip()


# ---------------------------------------------------------------------------------------------------------- damage

_STOPS = "。.!?！？\n"


def quoted(text: str, lang: str, rng: Rng) -> str:
    mark = rng.choice(["> ", ">", "> > "])
    return "\n".join(mark + line for line in text.split("\n"))


def ornamented(text: str, lang: str, rng: Rng) -> str:
    mark, space = rng.choice(["★", "★☆", "◆", "●", "※", "♪", "=====", "-----", "***"]), " " if lang == "en" else ""

    def put(found: re.Match[str]) -> str:
        return found.group(1) + (space + mark if rng.random() < 0.6 else "") + found.group(2)

    return re.sub(r"([.!?。！？])(\s|(?=[一-鿿]))", put, text)


def letter_spaced(text: str, lang: str, rng: Rng) -> str:
    if lang == "zh":
        return re.sub(r"([一-鿿])(?=[一-鿿])", lambda m: m.group(1) + (" " if rng.random() < 0.7 else ""), text)
    lines = text.split("\n")
    at = max(range(len(lines)), key=lambda k: -len(lines[k]) if len(lines[k]) > 10 else -(10**9))
    lines[at] = " ".join(lines[at][:60].replace(" ", "")) + lines[at][60:]
    return "\n".join(lines)


def full_width(text: str, lang: str, rng: Rng) -> str:
    every = rng.random() < 0.5

    def wide(char: str) -> str:
        return chr(ord(char) + 0xFEE0) if "!" <= char <= "~" and (every or char.isalnum()) else char

    return "".join(map(wide, text))


def zero_width(text: str, lang: str, rng: Rng) -> str:
    rate = rng.choice([0.005, 0.02, 0.1])
    return "".join(c + (rng.choice("\u200b\u2060\u00ad\ufeff") if rng.random() < rate else "") for c in text)


def mojibake(text: str, lang: str, rng: Rng) -> str:
    if lang == "en":
        changed = text.replace("’", "'").replace("'", "â€™").replace('"', "â€œ")
        return changed if changed != text else text.replace(" ", "&nbsp;", 3)
    sentences = [s for s in re.split(r"(?<=[。！？])|\n", text) if 4 < len(s) < 0.1 * len(text)]
    if not sentences:
        return text
    chosen = rng.choice(sentences)
    data = chosen.encode()
    return text.replace(
        chosen, rng.choice([data.decode("cp1252", "replace"), data.decode("gbk", "replace"), "\ufffd" * len(chosen)]), 1
    )


def truncated(text: str, lang: str, rng: Rng) -> str:
    return text[: int(len(text) * rng.uniform(0.82, 0.97))] + rng.choice(["", "", "...", "…", " [+1234 chars]"])


def shuffled(text: str, lang: str, rng: Rng) -> str:
    """The words of every tenth sentence in another order."""
    space = " " if lang == "en" else ""
    sentences = [s for s in re.split(r"(?<=[.!?。！？])\s*|\n+", text) if len(s.split(" ") if space else s) > 4]
    for sentence in rng.sample(sentences, max(1, len(sentences) // 10)) if sentences else []:
        words = sentence.split(" ") if space else list(sentence)
        rng.shuffle(words)
        text = text.replace(sentence, space.join(words), 1)
    return text


def shuffled_paragraphs(text: str, lang: str, rng: Rng) -> str:
    """The paragraphs in another order."""
    parts = text.split("\n")
    rng.shuffle(parts)
    return "\n".join(parts)


DAMAGE: dict[str, Callable[[str, str, Rng], str]] = {
    f.__name__: f
    for f in (
        quoted,
        ornamented,
        letter_spaced,
        full_width,
        zero_width,
        mojibake,
        truncated,
        shuffled,
        shuffled_paragraphs,
    )
}


# -------------------------------------------------------------------------------------------------- what is around


def _wrapped(kind: str, text: str, lang: str, rng: Rng, matter: Matter, part: int) -> str:
    sep = rng.choice(["\n", "\n\n", "\n\n", " " if lang == "en" else ""])
    if kind == "boilerplate":
        block = rng.choice(matter.boilerplate[lang])
        return rng.choice([text + sep + block, block + sep + text])
    if kind == "bannered":
        return "\n".join(rng.sample(BANNERS[lang][part::2], rng.randint(1, 2))) + sep + text
    if kind == "commented":
        real, own = matter.remarks[lang], REMARKS[lang][part::2]
        remarks = rng.choice(
            [
                rng.sample(real, rng.randint(2, 6)),
                rng.sample(own, rng.randint(2, 6)),
                rng.sample(real, 2) + rng.sample(own, 2),
            ]
        )
        heads = (
            ["Comments", f"{rng.randint(2, 99)} Comments"]
            if lang == "en"
            else ["网友评论", f"最新评论({rng.randint(2, 99)})"]
        )
        return text + "\n" + "\n".join([*(heads[:1] if rng.random() < 0.3 else []), *remarks])
    adverts = rng.sample(ADVERTS[lang][part::2], rng.randint(1, 4))
    if kind == "adverts_behind":
        return text + sep + "\n".join(adverts)
    lines = text.split("\n")
    for advert in adverts if len(lines) > 3 else []:
        lines.insert(rng.randint(1, len(lines) - 1), advert)
    return "\n".join(lines)


WRAPPED = ("bannered", "commented", "adverts_inside", "adverts_behind", "boilerplate")
LONGER = ("full_vs_teaser", "full_vs_first_page", "full_vs_without_beginning")
KINDS = (*DAMAGE, *WRAPPED, *LONGER)


def _shorter(kind: str, text: str, lang: str, rng: Rng) -> str:
    low, high = (0.08, 0.22) if kind == "full_vs_without_beginning" else (0.78, 0.92)
    places = [i + 1 for i, c in enumerate(text) if c in _STOPS and low < i / len(text) < high]
    if not places:
        return text
    cut = rng.choice(places)
    if kind == "full_vs_without_beginning":
        return text[cut:].lstrip()
    behind = {
        "full_vs_teaser": ["", "Read more", "阅读全文"],
        "full_vs_first_page": ["1 2 3 Next page", "下一页", "上一页 1 2 3 下一页"],
    }
    return text[:cut].rstrip() + "\n" + rng.choice([b for b in behind[kind] if b.isascii() == (lang == "en") or not b])


def make(kind: str, text: str, lang: str, rng: Rng, matter: Matter, part: int) -> str:
    """The worse copy of a text; the text itself where the kind does nothing to it, or too much."""
    if kind in DAMAGE:
        return DAMAGE[kind](text, lang, rng)
    worse = _shorter(kind, text, lang, rng) if kind in LONGER else _wrapped(kind, text, lang, rng, matter, part)
    return worse if abs(len(worse) - len(text)) <= _MOST_ADDED * len(text) else text


def pairs(data: Path, part: str, seed: int = 1, per_kind: int = 150) -> Iterator[Pair]:
    """Up to `per_kind` pairs a kind and language; each text is in one pair.

    Args:
        data: the shared data folder.
        part: "fitted" or "held_out": they share neither texts nor banners, advertising and remarks written here.
        seed: of all draws.
        per_kind: pairs of a kind in a language.
    """
    matter, is_held_out = real_matter(data, seed), part == "held_out"
    texts = [t for t in clean_texts(data, seed) if (t[1] in HELD_OUT) == is_held_out]
    wanted = {(kind, lang): per_kind for kind in KINDS for lang in SOURCES}
    for number, (lang, source, text) in enumerate(texts):
        rng = Rng(f"{seed} {number}")
        open_kinds = [k for k in KINDS if wanted[k, lang]]
        rng.shuffle(open_kinds)
        for kind in open_kinds[:4]:
            worse = make(kind, text, lang, rng, matter, int(is_held_out))
            if worse != text:
                wanted[kind, lang] -= 1
                yield Pair(kind, lang, source, text, worse)
                break

"""Three snapshots of one corpus, English and Chinese, with what may go wrong between snapshots planted in them.

Most documents are `tests.support.corpora.planted`, dealt out at random. Of a near pair the longer one comes first, so
that the run over all three snapshots elects the same; where it does not is planted apart and counted:

    longer    a near copy that is longer than the survivor of the snapshot before
    bridge    A and C, not alike, in snapshot 0; in snapshot 1 a B that is like both: longer than they are, or shorter
    ruled     copies over domains; those in forum are ruled out by its own rule
    twin      equal but for case or punctuation
    span      a span whose owner falls within its snapshot; documents in later snapshots have it too
    alone     like nothing else, in a domain of its own: never read again
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from filters.heuristic.thresholds import CjkThresholds, OtherThresholds, SpacedThresholds
from tests.oracles.text import jaccard
from tests.support.corpora import Corpus, Document, edited, planted, texts

SNAPSHOTS = 3
RULED = (
    ("forum 0", "pages 1", "pages 1", "pages 2", "forum 2"),
    ("forum 0", "forum 1", "pages 2"),
    ("pages 0", "forum 1", "en 2"),
    ("forum 0", "pages 1", "notes 1", "forum 1", "notes 2"),
    ("forum 1", "pages 1", "pages 2"),
    ("forum 0", "forum 2"),
    ("forum 0", "pages 1", "forum 1", "en 1", "pages 2"),
)
"""Where the copies of a text are: domain and snapshot. A copy in forum never stays."""
NO_RULES = {
    "spaced": dict.fromkeys(SpacedThresholds.model_fields),
    "cjk": dict.fromkeys(CjkThresholds.model_fields),
    "other": dict.fromkeys(OtherThresholds.model_fields),
}


@dataclass(frozen=True)
class Growing:
    """A corpus that grows.

    Attributes:
        corpora: one a snapshot; names are distinct over all of them.
    """

    corpora: tuple[Corpus, ...]

    @property
    def documents(self) -> dict[str, Document]:
        """All documents by name."""
        return {d.name: d for corpus in self.corpora for d in corpus.documents}

    @property
    def snapshot_of(self) -> dict[str, int]:
        """The snapshot of each name."""
        return {d.name: number for number, corpus in enumerate(self.corpora) for d in corpus.documents}

    def write(self, folder: Path) -> list[dict[str, str]]:
        """Writes the inputs; for each snapshot domain → glob."""
        return [corpus.write(folder / f"raw-{n}") for n, corpus in enumerate(self.corpora)]


def growing(size: int = 32) -> Growing:
    """The corpus of the module's docstring; some 33 documents for each of `size`."""
    rng = random.Random(7)
    dealt: list[list[Document]] = [[] for _ in range(SNAPSHOTS)]
    for lang in ("en", "zh"):
        common = planted(lang, size)
        for snapshot, document in _dealt(common, rng):
            dealt[snapshot].append(document)
        known = "\n".join(d.text for d in common)
        fresh = (t for t in reversed(texts(lang)) if t[:40] not in known and t[-40:] not in known)
        for snapshot, document in _between(lang, fresh, rng):
            dealt[snapshot].append(document)
    return Growing(tuple(Corpus(documents) for documents in dealt))


def _dealt(documents: list[Document], rng: random.Random) -> Iterator[tuple[int, Document]]:
    """Any snapshot; a chain in one; of a near pair the longer one not behind the other."""
    by_name = {d.name: d for d in documents}
    place = {d.name: rng.randrange(SNAPSHOTS) for d in documents}
    for d in documents:
        if d.kind == "near_copy" and d.of is not None:
            first, second = sorted((place[d.of], place[d.name]))
            longer = len(d.text.encode()) > len(by_name[d.of].text.encode())
            place[d.name], place[d.of] = (first, second) if longer else (second, first)
    for d in documents:  # a chain's links follow one another in the order they were made, by name
        if d.kind == "chain" and d.of is not None and by_name[d.of].of is None:
            place[d.name] = place[d.of]
    for d in documents:
        if d.kind == "chain" and d.of is not None and by_name[d.of].of is not None:
            place[d.name] = place[d.of]
    return ((place[d.name], d) for d in documents)


def _between(lang: str, fresh: Iterator[str], rng: random.Random) -> Iterator[tuple[int, Document]]:
    """What is planted between snapshots."""

    def made(kind: str, number: int, part: str, text: str, domain: str = lang) -> Document:
        name = f"{lang}-{kind}-{number:02d}-{part}"
        return Document(name, text, domain, lang, kind, url=f"https://www.example.net/{name}")

    short, long = _pair(lang, fresh, rng)
    if lang == "en":
        yield 0, made("longer", 0, "old", short)
        yield 1, made("longer", 0, "new", long)
    left, middle, right = _bridge(lang, fresh, rng, longest=lang == "en")
    yield 0, made("bridge", 0, "left", left)
    yield 0, made("bridge", 0, "right", right)
    yield 1, made("bridge", 0, "middle", middle)
    yield from _twins(lang, fresh, made)
    if lang == "en":
        for number, places in enumerate(RULED):
            text = next(fresh)
            for copy, at in enumerate(places):
                domain, snapshot = at.split()
                yield int(snapshot), made("ruled", number, f"{copy}-{domain}", text, domain)
        yield from _spans(fresh, made)
    else:
        for snapshot in (0, 1):
            for number in range(30):
                yield snapshot, made("alone", number, str(snapshot), next(fresh), "archive")


def _pair(lang: str, fresh: Iterator[str], rng: random.Random) -> tuple[str, str]:
    for text in fresh:
        other = edited(text, lang, 0.85, 0.9, rng)
        short, long = sorted((text, other), key=lambda t: len(t.encode()))
        if len(short.encode()) < len(long.encode()):
            return short, long
    raise AssertionError("not enough text")


def _bridge(lang: str, fresh: Iterator[str], rng: random.Random, longest: bool) -> tuple[str, str, str]:
    """Texts A ≈ B ≈ C, A not like C; B is the longest, or the shortest."""
    for text in fresh:
        left = edited(text, lang, 0.82, 0.85, rng, (0, 0.45))
        right = edited(text, lang, 0.82, 0.85, rng, (0.55, 1))
        middle = text
        for _ in range(12):  # trimmed until the lengths are as wanted
            sizes = [len(t.encode()) for t in (left, middle, right)]
            if sizes[1] > max(sizes[0], sizes[2]) if longest else sizes[1] < min(sizes[0], sizes[2]):
                break
            if longest:
                left, right = left[:-2], right[:-2]
            else:
                middle = middle[:-2]
        else:
            continue
        if min(jaccard(left, middle), jaccard(middle, right)) >= 0.78 and jaccard(left, right) < 0.73:
            return left, middle, right
    raise AssertionError("not enough text")


def _twins(lang: str, fresh: Iterator[str], made: Any) -> Iterator[tuple[int, Document]]:
    """A twin of an old document; twins within a snapshot, and one more in the next."""
    comma = "," if lang == "en" else "，"

    def varied(text: str, number: int) -> str:
        bare = text.replace(comma, " ")
        if lang == "en":
            return (text.swapcase(), bare, bare.swapcase())[number]
        return (bare, bare.replace("。", " "), bare.replace("、", " "))[number]

    chosen = [t for t in (next(fresh) for _ in range(40)) if len({t, *(varied(t, n) for n in range(3))}) == 4]
    old, new = chosen[:2]
    yield 0, made("twin", 0, "old", old)
    yield 1, made("twin", 0, "new", varied(old, 0))
    yield 2, made("twin", 0, "newer", varied(old, 1))
    yield 1, made("twin", 1, "first", new)
    yield 1, made("twin", 1, "second", varied(new, 0))
    yield 1, made("twin", 1, "third", varied(new, 1))
    yield 2, made("twin", 1, "fourth", varied(new, 2))


SPAN = "The keeper of the second gate wrote down the names of all the boats that passed before the winter storm."
OLD_SPAN = "Nobody at the harbour could remember who had carried the brass lamp from the tower down to the chapel."


def _spans(fresh: Iterator[str], made: Any) -> Iterator[tuple[int, Document]]:
    """`SPAN`: its owner in snapshot 1 falls, so it goes to the heir; `OLD_SPAN`: owned by snapshot 0 for good."""
    paragraphs = [" ".join(next(fresh).split()[:60]) + "." for _ in range(26)]
    shared = paragraphs[:4]
    yield 0, made("span", 0, "source", "\n\n".join([*paragraphs[4:8], *shared]))
    yield 0, made("span", 0, "old", "\n\n".join([*paragraphs[8:11], OLD_SPAN]))
    yield 1, made("span", 1, "owner", "\n\n".join([*shared, SPAN]))
    yield 1, made("span", 2, "heir", "\n\n".join([*paragraphs[11:14], SPAN]))
    yield 1, made("span", 3, "again", "\n\n".join([*paragraphs[14:17], OLD_SPAN]))
    yield 2, made("span", 4, "late", "\n\n".join([*paragraphs[17:20], SPAN]))
    yield (
        2,
        made("span", 5, "sentence", "\n\n".join([*paragraphs[20:23], f"{OLD_SPAN} The rest is new. {paragraphs[23]}"])),
    )


def write_growing_pipeline(path: Path, globs: list[dict[str, str]], snapshot: int) -> Path:
    """A pipeline over some snapshots' inputs: exact, near and span dedup, and one rule that forum's copies fail."""
    domains = sorted({domain for found in globs for domain in found})
    body = {
        "name": "growing",
        "snapshot": snapshot,
        "inputs": [{"domain": d, "paths": [found[d] for found in globs if d in found]} for d in domains],
        "ingest": {"target_shard_bytes": 40_000},
        "stages": {
            "eligibility": {},
            "exact_dedup": {},
            "heuristic_filter": NO_RULES,
            "near_dedup": {"keep": "longest"},
            "span_dedup": {},
            "score": {},
        },
        "domains": {"forum": {"heuristic_filter": {"spaced": {"min_words": 100_000}}}},
        "write_shards": {"target_shard_bytes": 60_000, "heldout_fraction": 0.1},
    }
    path.write_text(yaml.safe_dump(body, allow_unicode=True, sort_keys=False), "utf-8")
    return path


def without(corpus: Corpus, names: set[str]) -> Corpus:
    """The corpus without some documents."""
    return replace(corpus, documents=[d for d in corpus.documents if d.name not in names])

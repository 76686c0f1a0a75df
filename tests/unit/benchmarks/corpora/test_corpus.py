"""Benchmark corpora: replicas are no copies, sizes stay, the truth is the oracle's, the same seed gives the same."""

from __future__ import annotations

import hashlib
import json
import random
import unicodedata
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from benchmarks.corpora import corpus
from benchmarks.corpora.base_text import BaseDocument, base_documents
from benchmarks.corpora.corpus import Plan, make
from benchmarks.corpora.edits import PROBE, RECIPES, Editor, render
from benchmarks.corpora.exhaustive import jaccard, similar_pairs, tokens
from benchmarks.corpora.pieces import FIXED, HAN, WORD, split
from tests.oracles import text as oracles


def _base(count: int = 120, seed: int = 3) -> list[BaseDocument]:
    """Made-up documents with word frequencies like those of a language."""
    rng = random.Random(seed)
    words = sorted({"".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(3, 9))) for _ in range(3000)})
    hans = [chr(0x4E00 + 7 * i) for i in range(2500)]
    weights = [1 / (10 + i) for i in range(3000)]
    rng.shuffle(words)
    found = []
    for number in range(count):
        text = ""
        for place, word in enumerate(rng.choices(words, weights[: len(words)], k=rng.randint(90, 200))):
            text += word.capitalize() if rng.random() < 0.1 else word
            text += "\n\n" if place % 40 == 39 else ", " if place % 9 == 8 else " "
        found.append(BaseDocument(f"e{number}", "en", f"{text} café {number} 2024.".encode()))
    for number in range(count):
        chars = rng.choices(hans, weights[: len(hans)], k=rng.randint(200, 400))
        text = "".join(c + ("，" if i % 11 == 10 else "。\n" if i % 60 == 59 else "") for i, c in enumerate(chars))
        found.append(BaseDocument(f"z{number}", "zh", f"{text}ABC股{number}".encode()))
    return found


def _texts(folder: Path) -> dict[str, str]:
    rows = [row for path in sorted(folder.glob("input/*.parquet")) for row in pq.read_table(path).to_pylist()]
    assert len({row["id"] for row in rows}) == len(rows)
    return {row["id"]: row["text"] for row in rows}


def _image(documents: list[BaseDocument], number: int) -> list[str]:
    pieces = split([d.text for d in documents])
    case = np.zeros(len(documents), np.uint8)
    data, offsets = render(pieces.ids, pieces.ptr, case, pieces.starts, pieces.replica(1, number))
    return [data[a:b].tobytes().decode() for a, b in zip(offsets, offsets[1:], strict=False)]


def test_replica_0_is_the_real_text_and_sizes_stay() -> None:
    base = _base()
    assert [t.encode() for t in _image(base, 0)] == [d.text for d in base]
    assert [len(t.encode()) for t in _image(base, 3)] == [len(d.text) for d in base]


def test_a_replica_exchanges_words_one_for_one_and_keeps_case() -> None:
    base = _base()
    pieces = split([d.text for d in base])
    image = pieces.replica(1, 2)
    pairs = [
        (pieces.surface(v), image[pieces.starts[v] : pieces.starts[v + 1]].tobytes()) for v in range(len(pieces.kinds))
    ]
    of = {old.lower(): new.lower() for old, new in pairs}
    assert sorted(of.values()) == sorted(of)
    assert all(old.isupper() == new.isupper() and old.istitle() == new.istitle() for old, new in pairs if old.isalpha())
    counts = np.bincount(pieces.ids, minlength=len(pieces.kinds))
    for kind in (WORD, HAN):
        best = sorted(np.flatnonzero(pieces.kinds == kind), key=lambda v: -counts[v])[: FIXED // 4]
        assert all(pairs[v][0] == pairs[v][1] for v in best)
        changed = sum(pairs[v][0] != pairs[v][1] for v in np.flatnonzero(pieces.kinds == kind))
        assert changed > 0.5 * (pieces.kinds == kind).sum()


@pytest.mark.slow
@pytest.mark.data
def test_a_real_document_and_its_image_are_unlike(shared_data: Path) -> None:
    base = base_documents(shared_data)
    chosen = base[:: len(base) // 300]
    similarities = [
        jaccard(d.text.decode(), image) for d, image in zip(chosen, _image(base, 1)[:: len(base) // 300], strict=True)
    ]
    high = np.quantile(similarities, 0.99)
    print(f"J of a document and its image: mean {np.mean(similarities):.4f}, 99 % below {high:.3f}")
    assert np.mean(similarities) < 0.1 and high < 0.3


def test_the_truth_is_the_oracles_and_the_same_plan_gives_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpus, "CHUNK_BYTES", 20_000)
    base = _base()
    plan = Plan(megabytes=0.6, edited=0.4, exact=0.1, file_megabytes=0.2)
    body = make(tmp_path / "one", base, plan)
    make(tmp_path / "two", base, plan)
    digests = [
        {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted((tmp_path / name).rglob("*.*"))}
        for name in ("one", "two")
    ]
    assert digests[0] == digests[1]
    texts = _texts(tmp_path / "one")
    truth = pq.read_table(tmp_path / "one" / "truth.parquet").to_pylist()
    assert json.loads((tmp_path / "one" / "corpus.json").read_text()) == body
    assert body["bytes"] == sum(len(t.encode()) for t in texts.values())
    assert body["bytes"] == pytest.approx(600_000, rel=0.05)
    assert len(truth) > 50 and {row["recipe"] for row in truth} == {r.name for r in RECIPES}
    for row in truth:
        assert row["jaccard"] == pytest.approx(oracles.jaccard(texts[row["id_a"]], texts[row["id_b"]]), abs=1e-12)
        if row["recipe"].startswith("exact"):
            assert oracles.exact_form(texts[row["id_a"]]) == oracles.exact_form(texts[row["id_b"]])
        if row["recipe"] in ("case", "lower", "punctuation"):
            assert row["jaccard"] == 1


def test_a_plan_without_a_size_takes_each_document_once(tmp_path: Path) -> None:
    base = _base(20)
    make(tmp_path, base, Plan())
    texts = _texts(tmp_path)
    assert {d.text.decode() for d in base} <= set(texts.values())
    assert sum(name.count("-") == 2 for name in texts) == len(base)


def test_edits_stay_within_the_language(tmp_path: Path) -> None:
    base = _base()
    pieces = split([*(d.text for d in base), PROBE])
    editor = Editor.of(pieces, [d.lang for d in base])
    docs = np.arange(len(base))
    seeds = np.arange(len(base), dtype=np.uint64)
    ids, ptr = editor.copies(docs, np.full(len(base), 4), seeds)
    data, offsets = render(ids, ptr, np.zeros(len(base), np.uint8), pieces.starts, pieces.blob)
    for d, document in enumerate(base):
        if document.lang == "en":
            copy = data[offsets[d] : offsets[d + 1]].tobytes().decode()
            assert not any("\u4e00" <= c <= "\u9fff" for c in copy)


def test_exhaustive_truth_equals_the_oracle() -> None:
    rng = random.Random(5)
    texts = [d.text.decode()[:300] for d in _base(25)]
    for text in list(texts):
        words = text.split(" ")
        for _ in range(rng.randint(0, 3)):
            words[rng.randrange(len(words))] = rng.choice(words)
        texts.append(" ".join(words))
    texts += [
        "",
        "...",
        "one two",
        "one  TWO",
        "three four",
        "ＯＮＥ two",
        "ภาษาไทย ok",
        "é\u0301 x",
        "e\u0301\u0301 x",
    ]
    for least in (0.3, 0.5, 0.8):
        found = similar_pairs(texts, least)
        slow = {
            (a, b): oracles.jaccard(texts[a], texts[b])
            for a in range(len(texts))
            for b in range(a + 1, len(texts))
            if oracles.jaccard(texts[a], texts[b]) >= least
        }
        assert len(slow) > 10
        assert found.as_dict() == pytest.approx(slow)


@pytest.mark.slow
def test_exhaustive_tokens_are_the_oracles() -> None:
    points = [p for p in (*range(0xD800), *range(0xE000, 0x110000)) if not unicodedata.category(chr(p)).startswith("C")]
    different = [p for p in points if tokens(f"a{chr(p)}b") != oracles.tokens(f"a{chr(p)}b")]
    assert len(points) > 140_000
    assert all("MARK" in unicodedata.name(chr(p)) for p in different) and len(different) <= 16

"""`span_dedup` with `near_sentences`: planted sentences, the rules by a plain twin, snapshots, any partitions."""

from __future__ import annotations

import json
import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from cli.inspect.sample import draw, reasons
from corpus.reading.run_reader import RunReader as Lookup
from dedup.short_texts import WIDTH, short_texts
from pipelines.run.config import load_pipeline
from pipelines.run.runner import Runner
from pipelines.spark.session import Cluster
from tests.engine.run_reader import RunReader
from tests.engine.test_stages import SpanOracle, _spans_of
from tests.oracles.text import shingles, tokens
from tests.support.corpora import Corpus, Document, texts
from text.arrow import TextColumn
from text.segment import sentences
from text.tokens import token_hashes

pytestmark = pytest.mark.spark

THRESHOLD = 0.8
REASON = "near_repeated_sentence"
Place = tuple[int, int, int]
_NOUNS = ("harbour", "lantern", "orchard", "bishop", "violin", "copper", "window", "meadow", "sailor", "kettle")
_HAN = "湖边老屋木门铜灯旧钟石桥竹林渡口茶馆书信风筝纸伞棉布瓷碗米酒山泉雪松梅枝灰墙青瓦黄昏晨雾秋雨冬炉"


def sentence(lang: str, number: int, size: int) -> list[str]:
    """The words of a sentence, or its characters, all distinct and unlike those of another number."""
    if lang == "en":
        rng = random.Random(number)
        return [f"{_NOUNS[(number + i) % len(_NOUNS)]}{rng.choice('abcdefgh')}{number}x{i}" for i in range(size)]
    return random.Random(number).sample(_HAN, size)


def written(lang: str, words: Sequence[str]) -> str:
    """As a sentence of its language."""
    return " ".join(words).capitalize() + ". " if lang == "en" else "".join(words) + "。"


def changed(lang: str, words: list[str], *places: int) -> list[str]:
    """With other words at some places."""
    other = [f"other{i}" for i in range(60)] if lang == "en" else list("甲乙丙丁戊己庚辛壬癸子丑寅卯辰巳午未申酉戌亥")
    return [other[i % len(other)] if i in places else word for i, word in enumerate(words)]


def planted() -> Corpus:
    """Documents of real text with a planted sentence or some in the middle; kinds are told by their names."""
    made: list[Document] = []
    filler = {lang: iter(texts(lang)[:60]) for lang in ("en", "zh")}

    def add(name: str, lang: str, *planted: str, alone: bool = False) -> None:
        thanks = {"en": "Thanks for reading. ", "zh": "谢谢。"}[lang]
        body = thanks + "".join(planted)
        text = body if alone else next(filler[lang]) + "\n\n" + body
        made.append(Document(f"{lang}-{name}", text, lang, lang, "near"))

    for lang, size, long in (("en", 20, 40), ("zh", 20, 40)):
        first, second = sentence(lang, 1, size), sentence(lang, 2, long)
        add("a-first", lang, written(lang, first), written(lang, second))
        add("b-last-word", lang, written(lang, changed(lang, first, size - 1)))
        add("c-inner-word", lang, written(lang, changed(lang, second, 20)))
        add("d-half", lang, written(lang, changed(lang, first, *range(0, size, 2))))
        add("e-half", lang, written(lang, changed(lang, second, *range(long // 2))))
        add("f-exact", lang, written(lang, first))
        varied = [sentence(lang, 40 + i, long) for i in range(5)]
        for number in range(6):
            rng = random.Random(number)
            where = [rng.sample(range(long), rng.choice([0, 1, 1, 2])) for _ in varied]
            add(
                f"f-varied-{number}",
                lang,
                *(written(lang, changed(lang, v, *w)) for v, w in zip(varied, where, strict=True)),
            )
        # A chain: each like the one before, the third not like the first.
        chain = sentence(lang, 3, long)
        for number in range(4):
            add(f"g-chain-{number}", lang, written(lang, changed(lang, chain, *range(3 * number))))
        # A document that falls for near links; it owns a sentence exactly, and is the anchor of another.
        many = [sentence(lang, 10 + i, long) for i in range(12)]
        own, near = sentence(lang, 30, size), sentence(lang, 31, size)
        add("h-source", lang, *(written(lang, words) for words in many))
        add(
            "i-falls",
            lang,
            *(written(lang, changed(lang, w, long - 1)) for w in many),
            written(lang, own),
            written(lang, near),
            alone=True,
        )
        add("j-heir", lang, written(lang, own))
        add("k-late", lang, written(lang, changed(lang, near, size - 1)))
    return Corpus(made)


def write(folder: Path, corpus: Corpus, snapshot: int = 0, **settings: Any) -> Path:
    """The inputs and a pipeline of few stages."""
    body = {
        "name": "near",
        "snapshot": snapshot,
        "inputs": [{"domain": d, "paths": [g]} for d, g in corpus.write(folder / f"raw-{snapshot}").items()],
        "ingest": {"target_shard_bytes": 6_000},
        "stages": {"eligibility": {}, "exact_dedup": {}, "span_dedup": settings, "score": {}},
        "write_shards": {"target_shard_bytes": 60_000},
    }
    path = folder / f"near-{snapshot}.yaml"
    path.write_text(yaml.safe_dump(body), "utf-8")
    return path


def execute(pipeline: Path, out: Path, cluster: Cluster, settings: list[str] | None = None, **more: Any) -> RunReader:
    """Runs it to the end."""
    Runner(load_pipeline(pipeline, settings=settings), out, cluster, pipeline.parent, **more).run()
    return RunReader(out)


class NearOracle:
    """Links by buckets walked in plain Python, then the rules, over whole documents."""

    def __init__(self, views: dict[int, str]) -> None:
        exact = SpanOracle(views)
        data = {i: text.encode() for i, text in views.items()}
        cut = {(d, s) for found in exact.reasons.values() for ps in found.values() for d, s, _ in ps[1:]}
        paragraphs = [p for ps in exact.reasons["repeated_paragraph"].values() for p in ps[1:]]
        self.places: list[Place] = []
        for doc_id, text in views.items():
            for start, end in _spans_of(text, sentences):
                inside = any(d == doc_id and s <= start < e for d, s, e in paragraphs)
                size = len(tokens(data[doc_id][start:end].decode()))
                if size >= 12 and not inside and (doc_id, start) not in cut and doc_id not in exact.gone:
                    self.places.append((doc_id, start, end))
        said = [data[d][s:e].decode() for d, s, e in self.places]
        sets = [shingles(text, WIDTH) for text in said]
        keys = short_texts(*token_hashes(TextColumn.from_texts(said)), np.arange(len(said))).keys.tolist()
        buckets: dict[int, list[int]] = defaultdict(list)
        for i, mine in enumerate(keys):
            for key in mine:
                buckets[key].append(i)
        links: dict[int, dict[int, float]] = defaultdict(dict)
        for members in buckets.values():
            anchors: list[int] = []
            for i in members:
                like = ((j, len(sets[i] & sets[j]) / len(sets[i] | sets[j])) for j in anchors)
                best = next(((j, s) for j, s in like if s >= THRESHOLD), None)
                if best is None:
                    anchors.append(i)
                else:
                    links[i][best[0]] = best[1]
        self.chained = {i for i, found in links.items() if all(j in links for j in found)}
        near = {i: {j: s for j, s in found.items() if j not in links} for i, found in links.items()}
        removed: Counter[int] = Counter()
        for found in exact.reasons.values():
            for ps in found.values():
                removed.update({d: e - s for d, s, e in ps[1:]})
        for i, found in near.items():
            removed[self.places[i][0]] += bool(found) * (self.places[i][2] - self.places[i][1])
        self.gone = exact.gone | {d for d, n in removed.items() if n > 0.8 * len(data[d])}
        self.fallen = self.gone - exact.gone
        self.cuts: dict[Place, dict[Place, float]] = {}
        for i, found in near.items():
            stay = {self.places[j]: s for j, s in found.items() if self.places[j][0] not in self.gone}
            if stay and self.places[i][0] not in self.gone:
                self.cuts[self.places[i]] = stay


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("near"), planted(), near_sentences=True)


@pytest.fixture(scope="module")
def near(inputs: Path, cluster: Cluster) -> RunReader:
    return execute(inputs, inputs.parent / "run", cluster)


@pytest.fixture(scope="module")
def plain(inputs: Path, cluster: Cluster) -> RunReader:
    return execute(inputs, inputs.parent / "plain", cluster, ["span_dedup.near_sentences=false"])


def test_it_equals_the_rules_in_plain_python(near: RunReader) -> None:
    views = near.before("span_dedup")
    oracle = NearOracle(views)
    found = {
        (i, row["start"], row["end"])
        for i, rows in near.edits("span_dedup").items()
        for row in rows
        if row["reason"] == REASON
    }
    assert found == set(oracle.cuts) and len(found) >= 15
    assert set(near.drops("span_dedup")) == oracle.gone and oracle.fallen and oracle.chained
    links: dict[Place, dict[Place, float]] = defaultdict(dict)
    end = {(d, s): e for d, s, e in oracle.places}
    for row in near.table(near.chain["span_dedup"], "links"):
        member, anchor = (row["doc_id"], row["start"]), (row["anchor_doc"], row["anchor_start"])
        links[(*member, end[member])][(*anchor, end[anchor])] = pytest.approx(row["similarity"], abs=1e-6)
    assert links == oracle.cuts
    facts = near.chain["span_dedup"].body["facts"]
    assert (facts["near_cuts"], facts["near_capped"]) == (len(found), 0)


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_a_word_is_cut_and_half_of_the_words_stay(near: RunReader, lang: str) -> None:
    said = {row["source_id"]: row["text"] for row in near.published()}
    first, second = sentence(lang, 1, 20), sentence(lang, 2, 40)

    def has(name: str, words: list[str]) -> bool:
        return written(lang, words).strip() in said[f"{lang}-{name}"]

    assert has("a-first", first) and has("a-first", second)
    assert not has("b-last-word", changed(lang, first, 19)) and not has("c-inner-word", changed(lang, second, 20))
    assert has("d-half", changed(lang, first, *range(0, 20, 2)))
    assert has("e-half", changed(lang, second, *range(20)))
    assert not has("f-exact", first)
    rows = near.edits("span_dedup")[near.id_of[f"{lang}-f-exact"]]
    assert [row["reason"] for row in rows] == ["repeated_sentence"]
    thanks = "Thanks for reading." if lang == "en" else "谢谢。"
    assert all(thanks in text for name, text in said.items() if name.startswith(lang))


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_something_like_each_cut_sentence_stays(near: RunReader, lang: str) -> None:
    said = {row["source_id"]: row["text"] for row in near.published()}
    assert f"{lang}-i-falls" not in said
    assert written(lang, sentence(lang, 30, 20)).strip() in said[f"{lang}-j-heir"], "its owner fell: the next copy"
    late = written(lang, changed(lang, sentence(lang, 31, 20), 19)).strip()
    assert late in said[f"{lang}-k-late"], "its anchor fell: nothing is cut for it"
    kept = set(near.before("score"))
    gone = {(i, r["start"]) for i, rows in near.edits("span_dedup").items() for r in rows}
    for row in near.table(near.chain["span_dedup"], "links"):
        assert row["anchor_doc"] in kept and (row["anchor_doc"], row["anchor_start"]) not in gone
        assert (row["anchor_doc"], row["anchor_start"]) < (row["doc_id"], row["start"])


def test_the_sums_hold_and_the_cuts_can_be_read(near: RunReader) -> None:
    ledger = json.loads((near.root / "ledger.json").read_text("utf-8"))
    (stage,) = [s for s in ledger["stages"] if s["name"] == "span_dedup"]
    assert stage["bytes_in"] == stage["bytes_kept"] + sum(stage["bytes_dropped"].values())
    rows = [r for rows in near.edits("span_dedup").values() for r in rows if r["reason"] == REASON]
    assert stage["bytes_dropped"][f"cut:{REASON}"] == sum(r["end"] - r["start"] for r in rows)
    assert stage["sentences_dropped"][f"cut:{REASON}"] == len(rows)
    lookup = Lookup(near.root)
    cuts = near.chain["span_dedup"].body["facts"]["near_cuts"]
    assert reasons(lookup, "span_dedup")[f"cut:{REASON}"] == cuts
    drawn = draw(lookup, "span_dedup", REASON, 5, 0)
    assert drawn["kind"] == "spans" and drawn["available"] == cuts and len(drawn["samples"]) == 5


def test_the_number_of_partitions_changes_nothing(
    near: RunReader, inputs: Path, cluster: Cluster, partitions: None
) -> None:
    for number in ("1", "8"):
        cluster.spark.conf.set("spark.sql.shuffle.partitions", number)
        again = execute(inputs, inputs.parent / f"run-{number}", cluster)
        assert again.narrow_tables() == near.narrow_tables() and again.file_digests() == near.file_digests()
        facts = again.chain["span_dedup"].body["facts"]
        assert facts == near.chain["span_dedup"].body["facts"]


def test_switched_off_it_leaves_no_trace(near: RunReader, plain: RunReader) -> None:
    columns = set(plain.evidence("span_dedup")[0])
    assert set(near.evidence("span_dedup")[0]) - columns == {"near_keys", "near_set"}
    bare = [{k: v for k, v in row.items() if k in columns} for row in near.evidence("span_dedup")]
    assert bare == plain.evidence("span_dedup")
    decision = plain.chain["span_dedup"]
    assert set(decision.body["facts"]) == {"dropped", "cuts", "inherited"}
    assert {f.table for f in decision.files} <= {"drops", "edits", "columns"}
    exact = SpanOracle(plain.before("span_dedup"))
    assert set(plain.drops("span_dedup")) == exact.gone
    found = {i: [(r["start"], r["end"], r["reason"]) for r in rows] for i, rows in plain.edits("span_dedup").items()}
    assert found == {i: sorted(cuts) for i, cuts in exact.cuts.items()}


def test_published_sentences_are_anchors_and_never_cut(near: RunReader, cluster: Cluster, tmp_path: Path) -> None:
    first, third = sentence("en", 1, 20), sentence("en", 77, 40)
    later = Corpus(
        [
            Document("n-old", f"{texts('en')[70]}\n\n{written('en', changed('en', first, 0))}", "en", "en", "near"),
            Document("n-new", f"{texts('en')[71]}\n\n{written('en', third)}", "en", "en", "near"),
            Document("n-newer", f"{texts('en')[72]}\n\n{written('en', changed('en', third, 17))}", "en", "en", "near"),
        ]
    )
    pipeline = write(tmp_path, later, 1, near_sentences=True)
    found = execute(pipeline, tmp_path / "run", cluster, against=near.root)
    cut = [found.name(i) for i, rows in found.edits("span_dedup").items() if any(r["reason"] == REASON for r in rows)]
    assert sorted(cut) == ["n-newer", "n-old"]
    anchors = {row["doc_id"]: row["anchor_doc"] for row in found.table(found.chain["span_dedup"], "links")}
    assert anchors[found.id_of["n-old"]] == near.id_of["en-a-first"]
    assert anchors[found.id_of["n-newer"]] == found.id_of["n-new"]

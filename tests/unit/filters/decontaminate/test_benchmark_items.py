"""Benchmark items: how they are read, what is searched for, what a hit costs, what is told of it."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import zstandard
from typer.testing import CliRunner

from cli.main import app
from corpus.config import parse
from corpus.files import Manifest, commit, load_manifest
from corpus.run_folder import RunFolder
from corpus.schemas import DROPS, EDITS
from corpus.view import Edits, build_view
from filters.decontaminate.benchmark_items import (
    BadLine,
    BenchmarkFiles,
    Form,
    Item,
    benchmark_files,
    item_forms,
    read_items,
)
from filters.decontaminate.build_index import build_index
from filters.decontaminate.find import find_items
from filters.decontaminate.index import NgramConfig, NgramIndex
from pipelines.stages.base import Batch
from pipelines.stages.decontaminate import (
    COLUMNS,
    Decontaminate,
    DecontaminateDecision,
    DecontaminateEvidence,
    benchmark_facts,
)
from tamis.errors import ConfigError
from tests.support.runs import decision, write_run
from text.arrow import TextColumn

ROBE = "A robe takes 2 bolts of blue fiber and half that much white fiber. How many bolts in total does it take?"
LAND = "在农业生产中被当作极其重要的劳动对象发挥作用，最主要的不可替代的基本生产资料是"
SHORT = "What is the name of the fourth planet from the sun?"
WHERE = "stages.decontaminate.benchmarks"


def item(name: str, text: str, benchmark: str = "b", role: Form = Form.QUESTION) -> Item:
    return Item(benchmark, name, "b.jsonl", 1, ((role, text),))


def index_of(*items: Item | BadLine, **settings: int) -> NgramIndex:
    return build_index(items, NgramConfig(**settings))  # type: ignore[arg-type]


def shares(index: NgramIndex, text: str) -> dict[str, float]:
    """Item → share found in a text, the largest of its runs."""
    found = find_items(index, TextColumn.from_texts([text]))
    names = index.items.column("item").to_pylist()
    best = np.zeros(len(names), np.float32)
    np.maximum.at(best, found.item, found.share)
    return {names[i]: float(best[i]) for i in sorted(set(found.item.tolist()))}


def read(folder: Path, **entry: Any) -> list[Item | BadLine]:
    config = [parse(BenchmarkFiles, {"paths": ["*.jsonl*"], **entry}, WHERE)]
    return list(read_items(config, benchmark_files(config, folder, WHERE)))


# ------------------------------------------------------------------------------------------------------------ reading


def test_items_of_plain_and_packed_files_have_ids_or_lines(tmp_path: Path) -> None:
    lines = [{"task_id": "HumanEval/0", "prompt": "def f():"}, {"question": "q"}, {"id": 7, "question": "r"}]
    data = "\n\n".join(json.dumps(row) for row in lines).encode()
    (tmp_path / "a.jsonl").write_bytes(b"\xef\xbb\xbf" + data)
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(data))
    (tmp_path / "c.jsonl.zst").write_bytes(zstandard.compress(data))
    found = read(tmp_path)
    assert [(i.benchmark, i.name, i.line) for i in found if isinstance(i, Item)] == [
        (name, *rest) for name in "abc" for rest in (("HumanEval/0", 1), ("line 3", 3), ("7", 5))
    ]
    named = read(tmp_path, name="all", id=["nothing"])
    assert {i.benchmark for i in named} == {"all"}
    names = [i.name for i in named if isinstance(i, Item)]
    assert len(set(names)) == 9 and names[:4] == ["line 1", "line 3", "line 5", "line 1 (b.jsonl.gz, line 1)"]


def test_bad_lines_are_told_with_file_line_and_reason(tmp_path: Path) -> None:
    lines = [b'{"id": 1, "question": "ok"}', b"{no", b"[1]", b"", b'{"q": "x"}', b'{"question": "\xff"}']
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(lines))
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(b'{"question": "x"}\n{"question": "y"}\n' * 9)[:-12])
    bad = [(b.file, b.line, b.reason) for b in read(tmp_path) if isinstance(b, BadLine)]
    assert bad[:4] == [
        ("a.jsonl", 2, "broken_json"),
        ("a.jsonl", 3, "broken_json"),
        ("a.jsonl", 5, "no_text"),
        ("a.jsonl", 6, "invalid_utf8"),
    ]
    assert [(file, reason) for file, _, reason in bad[4:]] == [("b.jsonl.gz", "truncated_archive")]


def test_a_glob_that_matches_nothing_is_one_sentence_with_its_key(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("{}")
    config = [BenchmarkFiles(paths=("a.jsonl",)), BenchmarkFiles(paths=("mmlu/*.jsonl",))]
    with pytest.raises(
        ConfigError, match=r"^stages\.decontaminate\.benchmarks\[1\]: found 'mmlu/\*\.jsonl', which matches no file"
    ):
        benchmark_files(config, tmp_path, WHERE)


OFFERED = [(0, "Q"), (1, "Q\nx\ny"), (1, "Q\nA. x\nB. y"), (1, "Q\n1. x\n2. y")]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"question": "Q", "answer": "42"}, [(0, "Q"), (2, "42")]),
        ({"passage": "P", "question": "Q"}, [(3, "P\nQ"), (0, "Q")]),
        ({"context": "P", "choices": ["x"]}, [(0, "P"), (1, "P\nx"), (1, "P\nA. x"), (1, "P\n1. x")]),
        ({"text": "Q whole", "question": "Q"}, [(1, "Q whole"), (0, "Q")]),
        ({"text": "what it is about", "question": "Q?"}, [(3, "what it is about\nQ?"), (0, "Q?")]),
        ({"text": "only", "label": 3}, [(0, "only")]),
        ({"question": "Q", "choices": ["x", "y"]}, OFFERED),
        ({"question": "Q", "options": ["(A) x", "(B)y"]}, OFFERED),
        ({"question": "Q", "choices": {"text": ["x", "y"], "label": ["A", "B"]}}, OFFERED),
        ({"question": "Q", "A": "x", "B": "y"}, OFFERED),
        ({"question": "  ", "choices": []}, []),
    ],
)
def test_the_texts_of_an_item(row: dict[str, Any], expected: list[tuple[int, str]]) -> None:
    forms = [(int(role), text) for role, text in item_forms(row, BenchmarkFiles(paths=("x",)))]
    assert forms == expected


def test_columns_may_be_named(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"题目": "问", "n": {"k": "x1"}, "question": "not this"}')
    (found,) = read(tmp_path, question=["题目"], id=["n.k"], text=None)
    assert isinstance(found, Item) and found.name == "x1" and found.forms == ((Form.QUESTION, "问"),)


# ---------------------------------------------------------------------------------------------------------- searching


@pytest.mark.parametrize("text", [ROBE, LAND, SHORT])
def test_an_item_is_found_whatever_its_case_width_punctuation_and_lines(text: str) -> None:
    index = index_of(item("x", text))
    wide = "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)
    apart = text.replace(" ", "\n").replace("，", "\n,\n")
    for changed in (text, text.upper(), wide, apart, text.replace(".", " -- ").replace("，", "、"), f"一 {text} 二。"):
        assert shares(index, changed) == {"x": 1.0}, changed
    glued = shares(index, f"x{text}")  # the first word is another one
    assert glued == ({} if text == SHORT else {"x": pytest.approx(21 / 22 if text == ROBE else 1.0)})


def test_a_changed_word_costs_about_a_word() -> None:
    long = " ".join(f"word{i}" for i in range(40))
    assert shares(index_of(item("x", long)), long.replace("word20", "other")) == {"x": pytest.approx(39 / 40)}
    characters = "".join(chr(0x4E00 + 7 * i) for i in range(60))
    changed = characters[:30] + "人" + characters[31:]
    assert shares(index_of(item("x", characters)), changed) == {"x": pytest.approx(59 / 60)}


def test_scattered_phrases_of_a_long_document_do_not_add_up() -> None:
    long = [f"word{i}" for i in range(60)]
    index, between = index_of(item("x", " ".join(long))), " ".join(["else"] * 200)
    apart = f"{' '.join(long[:20])} {between} {' '.join(long[40:])}"
    found = find_items(index, TextColumn.from_texts([apart, " ".join(long[:20] + ["else"] * 20 + long[40:])]))
    assert found.document.tolist() == [0, 0, 1]
    assert found.share.tolist() == [pytest.approx(20 / 60), pytest.approx(20 / 60), pytest.approx(40 / 60)]


def test_too_short_items_are_listed_and_not_searched_for() -> None:
    index = index_of(item("en", "Who was Plato?"), item("zh", "谁是柏拉图？"), item("x", SHORT), item("none", "?!"))
    rows = index.items.to_pylist()
    assert [row["searched_by"] for row in rows] == ["too_short", "too_short", "whole", "too_short"]
    assert index.about["benchmarks"]["b"] == {
        "items": 4,
        "ngrams": 0,
        "whole": 1,
        "too_short": 3,
        "repeated": 0,
        "bad_lines": 0,
    }
    assert shares(index, "Who was Plato? 谁是柏拉图？") == {}
    assert shares(index_of(item("en", "Who was Plato?"), min_words=3), "who was plato") == {"en": 1.0}


def test_a_short_question_is_searched_for_with_its_choices() -> None:
    row = {"question": "下列说法正确的是", "choices": ["细胞核里有染色体", "水在零度沸腾", "光比声音走得慢"]}
    forms = tuple(item_forms(row, BenchmarkFiles(paths=("x",))))
    index = index_of(Item("b", "x", "f", 1, forms))
    choices = row["choices"]
    assert shares(index, "下列说法正确的是：") == {}
    for signs in ("ABC", "123", "①②③", ("", "", "")):
        listed = "\n".join(f"（{sign}）{choice}" for sign, choice in zip(signs, choices, strict=True))
        assert shares(index, f"题目：下列说法正确的是（ ）\n{listed}\n") == {"x": 1.0}, signs


def test_a_question_is_found_with_its_passage_and_without() -> None:
    passage = " ".join(f"word{i}" for i in range(100))
    row = {
        "passage": passage,
        "question": "正确的一项是",
        "options": ["铜比软木轻很多", "鲸是恒温动物", "铁在沸水中熔化"],
    }
    index = index_of(Item("b", "x", "f", 1, tuple(item_forms(row, BenchmarkFiles(paths=("x",))))))
    asked = "正确的一项是\nA、铜比软木轻很多\nB、鲸是恒温动物\nC、铁在沸水中熔化"
    assert shares(index, asked) == {"x": 1.0}
    assert shares(index, f"{passage}\n{asked}") == {"x": 1.0}
    assert shares(index, passage) == {"x": pytest.approx(100 / 105)}  # no gram ends with the last character
    short = {"passage": "Three men met in the town of Ely.", "question": "Who met?"}
    index = index_of(Item("b", "x", "f", 1, tuple(item_forms(short, BenchmarkFiles(paths=("x",))))))
    assert shares(index, "three men met in the town of Ely; who met") == {"x": 1.0}


def test_templates_tell_of_no_item_and_their_items_are_met_whole() -> None:
    frame = "Which of the following words is not an animal that lives in the open sea near the coast of"
    items = [item(str(i), f"{frame} {name}?") for i, name in enumerate(("Chile", "Peru", "Spain"))]
    index = index_of(*items, max_items=2)
    assert index.about["templates"] == 7  # of 19 words; those that hold the last word are each item's own
    assert shares(index, f"{frame} Portugal?") == {}
    assert shares(index, f"{frame} Peru?") == {"1": 1.0}
    whole = index_of(*items, item("all", frame), max_items=1)
    assert whole.items.to_pylist()[3]["searched_by"] == "whole"
    assert shares(whole, f"{frame} Portugal?") == {"all": 1.0}


def test_a_repeated_item_is_searched_for_once_and_told_for_both() -> None:
    index = index_of(item("1", ROBE), item("1", ROBE.upper(), "other"), item("2", LAND, "other"))
    assert index.items.column("same_as").to_pylist() == [None, 0, None]
    assert shares(index, ROBE) == {"1": 1.0}
    facts = benchmark_facts(index, [[["b/1"]], [["b/1"], ["other/2"]]])["benchmarks"]
    assert (facts["b"]["found"], facts["b"]["documents"]) == (1, 2)
    assert (facts["other"]["found"], facts["other"]["documents"], facts["other"]["repeated"]) == (2, 3, 1)


def test_an_answer_needs_an_ngram_of_its_own() -> None:
    solution = " ".join(f"step{i}" for i in range(15))
    index = index_of(
        Item("b", "x", "f", 1, ((Form.QUESTION, ROBE), (Form.ANSWER, "It is the number three and no other at all"))),
        Item("b", "y", "f", 2, ((Form.QUESTION, LAND), (Form.ANSWER, solution))),
    )
    assert shares(index, f"It is the number three and no other at all. {solution}") == {"y": 1.0}


def test_an_index_comes_back_as_it_was_and_equal_ones_have_equal_bytes(tmp_path: Path) -> None:
    made = index_of(item("1", ROBE), item("2", LAND), item("3", SHORT), BadLine("b", "f", 3, "broken_json", "x"))
    made.save(tmp_path / "a")
    made.save(tmp_path / "b")
    loaded = NgramIndex.load(tmp_path / "a")
    loaded.save(tmp_path / "b")  # over what was there
    for path in sorted((tmp_path / "a").iterdir()):
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name
    assert shares(loaded, f"{ROBE}\n{LAND}\n{SHORT}") == {"1": 1.0, "2": 1.0, "3": 1.0}
    assert loaded.bad_lines == made.bad_lines
    with pytest.raises(ConfigError, match="holds no index of benchmarks"):
        NgramIndex.load(tmp_path)


def test_files_without_an_item_are_refused() -> None:
    with pytest.raises(ConfigError, match="no item"):
        build_index([BadLine("b", "f", 1, "no_text", "")], NgramConfig())  # type: ignore[call-arg]


# ----------------------------------------------------------------------------------------------------------- deciding

LEAD, TAIL = "Yesterday it rained for hours. ", " Nobody came to the market. The day went by. We all left."


def stage_of(index: NgramIndex, folder: Path) -> Decontaminate:
    index.save(folder / "index")
    evidence = parse(DecontaminateEvidence, {"benchmarks": ["b.jsonl"]}, WHERE)
    return Decontaminate(evidence, {"index": str(folder / "index")})


def batch_of(texts: list[str], edits: Edits | None = None) -> Batch:
    rows = np.arange(len(texts), dtype=np.int32)
    column = TextColumn.from_texts(texts)
    view = build_view(column, edits or Edits.none(len(texts)), rows)
    return Batch(rows, 1000 + rows.astype(np.int64), "web", view, pa.table({}))


def decide(stage: Decontaminate, batch: Batch, **settings: Any) -> Any:
    decision = parse(DecontaminateDecision, settings, "stages.decontaminate")
    return stage.decide(stage.scan(batch), batch.rows, 1000, decision, None)  # type: ignore[arg-type]


def test_documents_go_with_the_items_named(tmp_path: Path) -> None:
    stage = stage_of(index_of(item("1", ROBE), item("2", LAND, "zh")), tmp_path)
    batch = batch_of([LEAD + ROBE + TAIL, LEAD + TAIL, f"{LAND}。{ROBE}", ROBE[:50]])
    verdict = decide(stage, batch)
    assert verdict.drops.schema == DROPS and verdict.drops.column("doc_id").to_pylist() == [1000, 1002]
    assert set(verdict.drops.column("reason").to_pylist()) == {"contaminated"} and not verdict.edits.num_rows
    assert verdict.columns.schema == COLUMNS and verdict.columns.to_pylist() == [
        {"row": 0, "doc_id": 1000, "contaminated_by": "b/1", "items": ["b/1"]},
        {"row": 2, "doc_id": 1002, "contaminated_by": "b/1", "items": ["b/1", "zh/2"]},
    ]
    assert decide(stage, batch_of([LEAD, ""])).columns is None


def test_spans_go_in_whole_sentences_and_mostly_cut_documents_with_them(tmp_path: Path) -> None:
    stage = stage_of(index_of(item("1", ROBE), item("2", LAND, "zh")), tmp_path)
    both = f"{LEAD}{ROBE}{TAIL * 4}\n{LAND}。\n{TAIL}"
    verdict = decide(stage, batch_of([both, LEAD + TAIL, ROBE]), action="span")
    assert verdict.drops.column("row").to_pylist() == [2]
    assert verdict.edits.schema == EDITS
    cut = [both.encode()[r["start"] : r["end"]].decode() for r in verdict.edits.to_pylist()]
    assert [c.strip() for c in cut] == [ROBE, LAND + "。"]
    assert verdict.edits.column("sentences").to_pylist() == [2, 1]
    assert set(verdict.edits.column("reason").to_pylist()) == {"contaminated_span"}
    assert decide(stage, batch_of([both]), action="span", max_removed_fraction=0.01).edits.num_rows == 0


def test_spans_are_carried_back_to_the_stored_text(tmp_path: Path) -> None:
    """An item that an earlier cut has made whole again: the cut lies inside the new one."""
    stage = stage_of(index_of(item("1", ROBE)), tmp_path)
    text = LEAD + ROBE[:40] + "[advertisement]" + ROBE[40:] + TAIL
    at = text.index("[adv")
    edits = Edits.none(1).merged(np.zeros(1, np.int32), np.array([at], np.int32), np.array([at + 15], np.int32), [None])
    found = stage.scan(batch_of([text], edits)).to_pylist()
    assert [row["bytes"] for row in found] == [len(text) - 15, None]
    assert text[found[1]["start"] : found[1]["end"]] == text[text.index("A robe") : text.index("?")]
    (cut,) = decide(stage, batch_of([text], edits), action="span").edits.to_pylist()
    assert text[: cut["start"]] + text[cut["end"] :] == LEAD + TAIL.lstrip()


def test_the_least_share_must_be_in_the_evidence() -> None:
    evidence = parse(DecontaminateEvidence, {"benchmarks": ["x"]}, WHERE)
    with pytest.raises(ConfigError, match="min_share: found 0.05; expected at least store_share, 0.1"):
        Decontaminate.check(evidence, DecontaminateDecision(min_share=0.05))  # type: ignore[call-arg]
    with pytest.raises(ConfigError, match="benchmarks: found nothing; expected a value, as this key is required"):
        parse(DecontaminateEvidence, {}, "stages.decontaminate")
    with pytest.raises(ConfigError, match="min_words: found .*; expected at most words"):
        parse(DecontaminateEvidence, {"benchmarks": ["x"], "ngrams": {"min_words": 14}}, "stages.decontaminate")


# ------------------------------------------------------------------------------------------------------------ telling


@pytest.fixture
def told(tmp_path: Path) -> Path:
    """A run with a decision of the stage."""
    root = write_run(tmp_path / "run")
    run = RunFolder(root)
    name, evidence, folder = decision(
        root, "decontaminate", {0: {"columns": {"row": [0], "contaminated_by": ["gsm8k/7"]}}}
    )
    manifest = load_manifest(root / folder)
    assert isinstance(manifest, Manifest)
    facts = benchmark_facts(index_of(item("7", ROBE, "gsm8k"), item("8", "no", "gsm8k")), [[["gsm8k/7"]]])
    commit(root / folder, {**manifest.body, "facts": facts}, manifest.files)
    state = run.state()
    state["stages"].insert(4, {"stage": name, "evidence": evidence, "decision": folder, "seconds": 0.1})
    run.write_state(state)
    return root


def said(*arguments: object) -> str:
    done = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout


def test_stats_and_report_tell_of_each_benchmark(told: Path) -> None:
    (line,) = json.loads(said("stats", told, "--format", "json"))["benchmarks"]
    assert line == {
        "benchmark": "gsm8k",
        "items": 2,
        "ngrams": 1,
        "whole": 0,
        "too_short": 1,
        "repeated": 0,
        "bad_lines": 0,
        "found": 1,
        "documents": 1,
    }
    assert "gsm8k" in said("stats", told) and "100.00 %" in said("stats", told)
    said("report", told)
    page = (told / "report.html").read_text("utf-8")
    assert "<h2>Benchmarks</h2>" in page and "gsm8k" in page


def test_a_run_without_the_stage_says_nothing_of_benchmarks(tmp_path: Path) -> None:
    root = write_run(tmp_path / "run")
    assert json.loads(said("stats", root, "--format", "json"))["benchmarks"] == []
    assert "Benchmark" not in said("stats", root)


def test_explain_names_the_item(told: Path) -> None:
    assert "contaminated_by=gsm8k/7" in said("explain", told, "0")


# ---------------------------------------------------------------------------------------------------------- real items


@pytest.mark.slow
@pytest.mark.data
def test_every_real_item_is_found_where_it_was_planted(shared_data: Path) -> None:
    """A part of eight benchmarks in both languages, each item in a document of its own, in capitals and wide digits."""
    config = [BenchmarkFiles(paths=("benchmarks/*.jsonl.zst",))]
    items = [i for i in read_items(config, benchmark_files(config, shared_data, WHERE)) if isinstance(i, Item)][::17]
    index = build_index(items, NgramConfig())  # type: ignore[call-arg]
    wide = str.maketrans("0123456789", "０１２３４５６７８９")
    texts = []
    for number, one in enumerate(items):
        text = one.forms[0][1]
        changed = text.upper().translate(wide) if number % 2 else text.replace(", ", "\n")
        texts.append(f"Some words stand before it. 前面有一些话。\n{changed}\nAnd behind. 后面也有。")
    found = find_items(index, TextColumn.from_texts(texts), 0.5)
    met = set(zip(found.document.tolist(), found.item.tolist(), strict=True))
    missed = []
    for number, row in enumerate(index.items.to_pylist()):
        of = number if row["same_as"] is None else row["same_as"]
        if row["searched_by"] != "too_short" and (number, of) not in met:
            missed.append(row)
    assert len(items) > 1_900 and {i.benchmark for i in items} >= {"cmmlu_test", "gsm8k_test", "mmlu_test", "humaneval"}
    assert missed == []

"""Benchmark items planted in real documents, through the public runner: all found, nothing else gone, sums hold."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from corpus.reading.run_reader import RunReader as Lookup
from corpus.reading.story import describe
from pipelines.spark.session import Cluster
from tamis.errors import ConfigError
from tests.engine.run_reader import RunReader
from tests.engine.small_run import execute
from tests.support.corpora import texts

pytestmark = pytest.mark.spark

CODE = """def sum_of_squares(numbers):
    '''Return the sum of the squares of all numbers in the list that are not negative.
    >>> sum_of_squares([1, -2, 3])
    10
    '''
"""
ENGLISH: list[dict[str, Any]] = [
    {
        "id": "long",
        "question": "A farmer walks 7 miles to the mill and carries 3 sacks of rye on each of his 4 journeys; how many "
        "sacks of rye has he carried to the mill when the week is over?",
        "answer": "12",
    },
    {"id": "short", "question": "Which river runs through the town of Lower Applebury?"},
    {
        "id": "choices",
        "question": "Which of these is true?",
        "choices": ["Copper is lighter than cork", "Whales are warm-blooded", "Iron melts in boiling water", "None"],
    },
    {"id": "code", "prompt": CODE},
]
CHINESE: list[dict[str, Any]] = [
    {
        "id": "long",
        "question": "一个水池装有甲乙两根进水管，单开甲管六小时可以注满，单开乙管四小时可以注满，"
        "两管齐开需要几小时注满？",
    },
    {"id": "short", "question": "下列河流中流经苹果镇的是哪一条河？"},
    {
        "id": "choices",
        "question": "下列说法正确的是",
        "A": "铜比软木轻",
        "B": "鲸是恒温动物",
        "C": "铁在沸水中熔化",
        "D": "以上都不对",
    },
]
TOO_SHORT = [{"id": "tiny", "question": "Who was Plato?"}, {"id": "tiny_zh", "question": "水是什么？"}]


def as_text(item: dict[str, Any], opening: str = "({}) ") -> str:
    """An item as a page would show it."""
    choices = item.get("choices") or [item[letter] for letter in "ABCD" if letter in item]
    listed = "".join(f"\n{opening.format(letter)}{choice}" for letter, choice in zip("ABCD", choices, strict=False))
    return str(item.get("question") or item["prompt"]) + listed


def wide(text: str) -> str:
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)


def repunctuated(text: str) -> str:
    for old, new in ((",", " --"), ("?", " ..."), (";", " /"), ("，", "、"), ("？", "！")):
        text = text.replace(old, new)
    return text


def numbered(item: dict[str, Any]) -> str:
    text = as_text(item, "({}) ")
    for number, letter in enumerate("ABCD", 1):
        text = text.replace(f"\n({letter})", f"\n{number}.")
    return text


WAYS: dict[str, Callable[[dict[str, Any]], str]] = {
    "verbatim": as_text,
    "capitals": lambda item: as_text(item).upper(),
    "wide": lambda item: wide(as_text(item)),
    "punctuation": lambda item: repunctuated(as_text(item)),
    "lines": lambda item: as_text(item).replace(" ", "\n").replace("，", "，\n"),
    "numbers": numbered,
    "bare": lambda item: as_text(item, ""),
}


def write_inputs(folder: Path) -> dict[str, str]:
    """Items and documents; returns the planted documents: name → item."""
    for name, items in (("en_items", [*ENGLISH, *TOO_SHORT]), ("zh_items", CHINESE)):
        path = folder / "benchmarks" / f"{name}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        broken = "{no json\n" if name == "en_items" else ""
        path.write_text(broken + "".join(json.dumps(i, ensure_ascii=False) + "\n" for i in items), "utf-8")
    planted, lines = {}, []
    hosts = {"en": iter(texts("en")), "zh": iter(texts("zh"))}
    for lang, benchmark, items in (("en", "en_items", ENGLISH), ("zh", "zh_items", CHINESE)):
        for item in items:
            for way, write in WAYS.items():
                host = next(hosts[lang])
                middle = len(host) // 2
                name = f"{lang}-{item['id']}-{way}"
                planted[name] = f"{benchmark}/{item['id']}"
                lines.append({"id": name, "text": f"{host[:middle]}\n\n{write(item)}\n\n{host[middle:]}"})
        lines += [{"id": f"{lang}-clean-{i}", "text": next(hosts[lang])} for i in range(30)]
    lines.append({"id": "tiny", "text": "Who was Plato? 水是什么？ Nobody here knows."})
    lines.append({"id": "only", "text": as_text(ENGLISH[0])})
    planted["only"] = "en_items/long"
    data = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    (folder / "web.jsonl").write_text(data, "utf-8")
    return planted


def run(folder: Path, cluster: Cluster, out: str, stage: dict[str, Any] | None = None, **options: Any) -> RunReader:
    settings = {"benchmarks": ["benchmarks/*.jsonl"], **(stage or {})}
    body = {
        "name": "decontaminate",
        "inputs": [{"domain": "web", "paths": ["web.jsonl"]}],
        "ingest": {"target_shard_bytes": 15_000},
        "stages": {"exact_dedup": {}, "decontaminate": settings},
    }
    path = folder / f"{out}.yaml"
    path.write_text(yaml.safe_dump(body, sort_keys=False), "utf-8")
    return execute(path, folder / out, cluster, **options)


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    folder = tmp_path_factory.mktemp("decontaminate")
    return folder, write_inputs(folder)


@pytest.fixture(scope="module")
def by_document(planted: tuple[Path, dict[str, str]], cluster: Cluster) -> RunReader:
    return run(planted[0], cluster, "documents")


def sums_hold(found: RunReader) -> None:
    ledger = json.loads((found.root / "ledger.json").read_text("utf-8"))
    for stage in ledger["stages"]:
        for unit in ("documents", "bytes", "sentences"):
            assert stage[f"{unit}_in"] == stage[f"{unit}_kept"] + sum(stage[f"{unit}_dropped"].values())
    assert len(found.published()) + len(found.dropped()) == len(found.documents)


def test_every_planted_item_is_found_and_no_other_document_goes(
    planted: tuple[Path, dict[str, str]], by_document: RunReader
) -> None:
    expected = planted[1]
    columns = {by_document.name(i): row for i, row in by_document.columns("decontaminate").items()}
    assert {name: row["contaminated_by"] for name, row in columns.items()} == expected
    assert {row["source_id"] for row in by_document.dropped()} == set(expected)
    assert {row["reason"] for row in by_document.dropped()} == {"contaminated"}
    assert by_document.kept_names() == {d["source_id"] for d in by_document.documents.values()} - set(expected)
    assert len(by_document.run.shards) > 3
    sums_hold(by_document)


def test_each_benchmark_is_told_of(by_document: RunReader) -> None:
    facts = by_document.chain["decontaminate"].body["facts"]["benchmarks"]
    assert facts["en_items"] == {
        "items": 6,
        "ngrams": 3,
        "whole": 1,
        "too_short": 2,
        "repeated": 0,
        "bad_lines": 1,
        "found": 4,
        "documents": 4 * len(WAYS) + 1,
    }
    assert (facts["zh_items"]["found"], facts["zh_items"]["documents"]) == (3, 3 * len(WAYS))


def test_explain_names_the_item(by_document: RunReader) -> None:
    doc_id = by_document.id_of["zh-choices-lines"]
    (stage,) = (s for s in describe(Lookup(by_document.root), doc_id)["stages"] if s["stage"] == "decontaminate")
    assert stage["reason"] == "contaminated" and stage["columns"]["items"] == ["zh_items/choices"]
    hit = next(row for row in stage["evidence"] if row["item"])
    assert (hit["benchmark"], hit["item"], hit["share"]) == ("zh_items", "choices", 1.0)


def test_spans_are_cut_and_the_rest_of_the_document_stays(
    planted: tuple[Path, dict[str, str]], by_document: RunReader, cluster: Cluster
) -> None:
    folder, expected = planted
    found = run(folder, cluster, "spans", {"action": "span"})
    sums_hold(found)
    assert {row["source_id"] for row in found.dropped()} == {"only"}  # nothing would be left of it
    published = {row["source_id"]: row for row in found.published()}
    assert {n: r["contaminated_by"] for n, r in published.items() if r["contaminated_by"]} == {
        name: item for name, item in expected.items() if name != "only"
    }
    searched = run(folder, cluster, "again", {"action": "span", "min_share": 0.1})
    assert {row["contaminated_by"] for row in searched.published()} == {None, *expected.values()}
    for name in expected.keys() - {"only"}:
        text = published[name]["text"]
        assert "Applebury" not in text and "苹果镇" not in text and "sacks of rye" not in text and "恒温" not in text
        assert len(text.encode()) > 0.5 * published[name]["stored_bytes"]


def test_a_changed_benchmark_is_another_scan_and_a_changed_threshold_is_none(
    planted: tuple[Path, dict[str, str]], cluster: Cluster, tmp_path: Path
) -> None:
    write_inputs(tmp_path)
    first = run(tmp_path, cluster, "run").run.evidence("decontaminate")
    again = run(tmp_path, cluster, "run", {"min_share": 0.9}).run.evidence("decontaminate")
    assert first is not None and again is not None and again.folder == first.folder
    assert again.body["content"] == first.body["content"]
    with (tmp_path / "benchmarks" / "zh_items.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({"question": texts("zh")[-1][:60]}, ensure_ascii=False) + "\n")
    other = run(tmp_path, cluster, "run").run.evidence("decontaminate")
    assert other is not None and other.folder != first.folder
    assert other.body["artefacts"] != first.body["artefacts"]


def test_the_same_bytes_whatever_the_batches(
    planted: tuple[Path, dict[str, str]], by_document: RunReader, cluster: Cluster
) -> None:
    small = run(planted[0], cluster, "batches", batch_bytes=2_000)
    assert small.file_digests() == by_document.file_digests()
    assert small.narrow_tables() == by_document.narrow_tables()


def test_a_missing_glob_is_one_sentence(planted: tuple[Path, dict[str, str]], cluster: Cluster) -> None:
    said = r"^stages\.decontaminate\.benchmarks\[0\]: found 'none/\*\.jsonl', which matches no file; expected"
    with pytest.raises(ConfigError, match=said):
        run(planted[0], cluster, "missing", {"benchmarks": ["none/*.jsonl"]})

"""Planted personal data through the public runner: replaced, counted, and nowhere but in the ingested documents."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from pipelines.spark.session import Cluster
from tests.engine.run_reader import RunReader
from tests.engine.small_run import NO_RULES, execute
from tests.support.corpora import texts

pytestmark = pytest.mark.spark

PLANTED = {
    "email": ("lin.wei+shop@mail.example.org", "ｌｉｎｗｅｉ＠ｅｘａｍｐｌｅ．ｃｎ"),
    "phone": ("+86 139-2468-1357", "１８６２４６８１３５７", "(415) 555-2671"),
    "ip": ("93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946"),
    "cn_id": ("11010519491231002X",),
    "bank_card": ("4111 1111 1111 1111", "6222021234567890128"),
    "iban": ("DE89 3704 0044 0532 0130 00",),
    "ip_local": ("192.168.77.13",),
}
PLACEHOLDERS = {
    "email": "<EMAIL>",
    "phone": "<PHONE>",
    "ip": "<IP>",
    "cn_id": "<CN_ID>",
    "bank_card": "<BANK_CARD>",
    "iban": "<IBAN>",
    "ip_local": None,
}
SENTENCE = {
    "en": "The clerk of the harbour office wrote the line {} into the second column of his book that evening. ",
    "zh": "值班的人把下面这一行{}抄进了登记簿的第二栏，然后合上本子回家去了。",
}
STAGES: dict[str, Any] = {
    "eligibility": {},
    "exact_dedup": {},
    "heuristic_filter": NO_RULES,
    "near_dedup": {},
    "pii": {},
    "span_dedup": {},
    "score": {},
}
VALUES = [(kind, value) for kind, values in PLANTED.items() for value in values]
NUMBERS = {lang: [i for i in range(40) if i % 3] for lang in SENTENCE}
"""The documents of a language in which a value stands; they take turns."""


def made(lang: str, number: int, value: str) -> str:
    """A real text with a sentence about a value in its middle; the same sentence comes in other documents."""
    text = texts(lang)[number]
    if number not in NUMBERS[lang]:
        return text
    middle = len(text) // 2
    return f"{text[:middle]}\n\n{SENTENCE[lang].format(f' {value} ')}\n\n{text[middle:]}"


def planted_in(number: int) -> tuple[str, str]:
    """(kind, value) of a document."""
    return VALUES[number % len(VALUES)]


def write_and_run(folder: Path, cluster: Cluster, **body: Any) -> RunReader:
    inputs = []
    for domain, lang in (("en", "en"), ("zh", "zh"), ("left", "en")):
        first = 40 if domain == "left" else 0
        path = folder / f"{domain}.jsonl"
        lines = []
        for number in range(40):
            text = made(lang, number, planted_in(number)[1]) if not first else texts(lang)[number + first]
            if first and number == 5:
                text += "\n\nLeft as it is: lin.wei+shop@mail.example.org"
            lines.append(json.dumps({"id": f"{domain}-{number}", "text": text}, ensure_ascii=False))
        path.write_text("\n".join(lines) + "\n", "utf-8")
        inputs.append({"domain": domain, "paths": [str(path)]})
    pipeline = folder / "pii.yaml"
    domains = {"left": {"skip": ["pii"]}}
    settings = {"ingest": {"target_shard_bytes": 40_000}, "domains": domains, **body}
    pipeline.write_text(
        yaml.safe_dump({"name": "pii", "inputs": inputs, "stages": STAGES, **settings}, sort_keys=False), "utf-8"
    )
    return execute(pipeline, folder / "run", cluster)


@pytest.fixture(scope="module")
def found(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> RunReader:
    return write_and_run(tmp_path_factory.mktemp("pii"), cluster)


def test_placeholders_are_published_and_values_are_not(found: RunReader) -> None:
    published = {row["source_id"]: row["text"] for row in found.published()}
    before = {found.name(i): text for i, text in found.before("span_dedup").items()}
    seen = Counter()
    for domain in ("en", "zh"):
        for number in NUMBERS[domain]:
            name, (kind, value) = f"{domain}-{number}", planted_in(number)
            if name not in before:
                continue
            placeholder = PLACEHOLDERS[kind]
            put = f" {value if placeholder is None else placeholder} "
            assert SENTENCE[domain].format(put).strip() in before[name], name
            seen[kind] += 1
            assert placeholder is None or value not in published.get(name, "")
    assert set(seen) == set(PLANTED)
    text = "\n".join(published.values())
    assert all(p in text for p in PLACEHOLDERS.values() if p)
    assert "Left as it is: lin.wei+shop@mail.example.org" in published["left-5"]


def test_sentences_that_differ_in_the_value_only_are_one_sentence_behind_it(found: RunReader) -> None:
    last = [row["text"] for row in found.published() if row["domain"] == "en"]
    assert sum(SENTENCE["en"].format(" <PHONE> ").strip() in text for text in last) == 1
    assert "repeated_paragraph" in {r["reason"] for rows in found.edits("span_dedup").values() for r in rows}


def test_counts_are_right_and_null_where_the_stage_did_not_look(found: RunReader) -> None:
    for row in found.published():
        number = int(row["source_id"].split("-")[1])
        counts = {kind: row[f"pii_{kind}"] for kind in PLANTED if kind != "ip_local"}
        if row["domain"] == "left":
            assert set(counts.values()) == {None}
            continue
        kind, _ = planted_in(number)
        expected = {k: int(k == kind and number in NUMBERS[row["domain"]]) for k in counts}
        assert all(counts[k] >= n for k, n in expected.items()), row["source_id"]
    rows = found.columns("pii").values()
    edits = [r["reason"] for rows in found.edits("pii").values() for r in rows]
    for kind in set(PLANTED) - {"ip_local"}:
        assert sum(row[f"pii_{kind}"] for row in rows) == edits.count(kind) > 0


def test_the_ledger_holds_and_counts_the_rewrites_apart(found: RunReader) -> None:
    ledger = json.loads((found.root / "ledger.json").read_text("utf-8"))
    lines = {line["name"]: line for line in ledger["stages"]}
    for line in ledger["stages"]:
        assert line["documents_in"] == line["documents_kept"] + sum(line["documents_dropped"].values())
        assert line["bytes_in"] == line["bytes_kept"] + sum(line["bytes_dropped"].values())
    pii = lines["pii"]
    assert pii["bytes_in"] == pii["bytes_kept"] and not pii["bytes_dropped"] and not pii["documents_dropped"]
    growth = sum(len(r["replacement"]) - (r["end"] - r["start"]) for rows in found.edits("pii").values() for r in rows)
    assert pii["bytes_rewritten"] == growth != 0
    rewritten = sum(line["bytes_rewritten"] for line in ledger["stages"])
    assert sum(row["bytes"] for row in found.published()) == ledger["stages"][-1]["bytes_kept"] + rewritten
    assert {row["doc_id"]: row["text"] for row in found.published()} == found.before(None)


def cells(path: Path) -> Iterator[str]:
    """Every value of a Parquet file as text, and its footer."""
    for row in pq.read_table(path, partitioning=None).to_pylist():
        yield from map(str, row.values())
    yield path.read_bytes().decode("latin-1")


def test_no_planted_value_is_anywhere_but_in_the_documents(found: RunReader, capfd: pytest.CaptureFixture[str]) -> None:
    """Sidecar tables, manifests, reports, logs: all that a run writes but document shards and the domain that skips."""
    values = [value for kind, values in PLANTED.items() if kind != "ip_local" for value in values]
    documents = found.root / "ingest" / "documents"
    left = found.root / "shards" / "left"
    read = 0
    for path in sorted(p for p in found.root.rglob("*") if p.is_file()):
        if path.is_relative_to(documents) or path.is_relative_to(left):
            continue
        parts = cells(path) if path.suffix == ".parquet" else iter([path.read_text("utf-8", "replace")])
        for part in parts:
            assert not [v for v in values if v in part], path.relative_to(found.root)
        read += 1
    assert read > 20
    from cli.inspect.stats import stats

    stats(run=found.root)
    shown = "".join(capfd.readouterr())
    assert "pii" in shown and not [v for v in values if v in shown]


def test_a_changed_placeholder_repeats_no_scan_and_a_kind_may_stay(
    found: RunReader, cluster: Cluster, tmp_path: Path
) -> None:
    other = write_and_run(tmp_path, cluster)
    assert other.file_digests() == found.file_digests()
    scanned = other.run.evidence("pii")
    pipeline = tmp_path / "pii.yaml"
    again = execute(pipeline, other.root, cluster, ["pii.email=<MAIL>", "pii.phone=null"])
    assert again.run.evidence("pii") == scanned
    kinds = Counter(r["replacement"] for rows in again.edits("pii").values() for r in rows)
    assert kinds["<MAIL>"] and not kinds["<PHONE>"] and not kinds["<EMAIL>"]
    assert sum(row["pii_phone"] for row in again.columns("pii").values())

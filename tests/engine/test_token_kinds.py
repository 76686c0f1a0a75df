"""`tokens`, by domain: what differs in a sign, in case or in indentation stays, and a change of domain is seen."""

from __future__ import annotations

import re
from pathlib import Path

import orjson
import pytest
import yaml

from pipelines.run.config import load_pipeline
from pipelines.run.runner import Runner
from pipelines.spark.session import Cluster
from tests.engine.run_reader import RunReader

pytestmark = pytest.mark.spark

BASE = """def bounded(values, Limit):
    total = 0
    for value in values:
        if value < Limit:
            total = total + value
        if total == 0:
            continue
    return total
"""
FUNCTIONS = {
    "base": BASE,
    "less": BASE.replace("<", ">"),
    "equal": BASE.replace("==", "!="),
    "plus": BASE.replace("total + value", "total - value"),
    "case": BASE.replace("Limit", "limit"),
    "nested": BASE.replace("        if total", "            if total").replace(
        "            continue", "                continue"
    ),
    "tabs": BASE.replace("    ", "\t"),
    "spaced": re.sub(r"([(,:])", r" \1 ", BASE),
}
FELL = "At dawn the temperature on the western slope above the old mill fell to {} degrees and stayed there until noon."
PROSE = {
    "cold": FELL.format("-30") + " Nobody in the village had seen the like since the winter of the flood.",
    "mild": FELL.format("30") + " The children swam in the pond behind the school and came home late.",
    "copy": FELL.format("\u221230") + " The harbour was closed, and the ferry waited on the other side of it.",
}


def run(folder: Path, cluster: Cluster, assigned: bool) -> RunReader:
    """With `assigned` the functions are source code, by a predicate; a second call in the same folder goes on."""
    for domain, texts in (("code", FUNCTIONS), ("prose", PROSE)):
        (folder / "raw" / domain).mkdir(parents=True, exist_ok=True)
        rows = [orjson.dumps({"id": name, "text": text, "lang": "en"}) for name, text in texts.items()]
        if not (path := folder / "raw" / domain / "a.jsonl").exists():
            path.write_bytes(b"\n".join(rows))
    body = {
        "name": "kinds",
        "inputs": [
            {"domain": "code", "paths": ["raw/code/*.jsonl"]},
            {"domain": "prose", "paths": ["raw/prose/*.jsonl"]},
        ],
        "stages": {
            "eligibility": {
                "assign": [{"domain": "source", "source_domains": ["code"], "when": {"lang": "en"}}] if assigned else []
            },
            "near_dedup": {"threshold": 0.95},
            "span_dedup": {},
        },
        "domains": {"source": {"near_dedup": {"tokens": "code"}, "span_dedup": {"tokens": "code"}}},
    }
    path = folder / "kinds.yaml"
    path.write_text(yaml.safe_dump(body, sort_keys=False), "utf-8")
    Runner(load_pipeline(path), folder / "run", cluster, folder).run()
    return RunReader(folder / "run")


def test_code_is_compared_by_all_that_it_says_wherever_its_domain_comes_from(tmp_path: Path, cluster: Cluster) -> None:
    as_text = {"base", "case", "nested", "plus", "tabs", "spaced"}
    for again, (assigned, same) in enumerate(((False, as_text), (True, {"base", "tabs", "spaced"}), (False, as_text))):
        found = run(tmp_path, cluster, assigned)
        gone = {found.name(i): found.name(row["survivor"]) for i, row in found.drops("near_dedup").items()}
        assert {*gone, *gone.values()} == same and len(gone) == len(same) - 1
        evidence = found.run.evidence("near_dedup")
        assert evidence is not None
        assert evidence.body["config"]["tokens_of"] == {"source": "code"}
        assert evidence.body["reused"] == (len(PROSE) if again else 0)


def test_a_sentence_is_cut_where_it_says_the_same_and_stays_where_its_number_has_another_sign(
    tmp_path: Path, cluster: Cluster
) -> None:
    found = run(tmp_path, cluster, assigned=False)
    cut = {found.name(i): len(rows) for i, rows in found.edits("span_dedup").items()}
    assert cut == {"copy": 1}

"""A package of sixty lines in a folder of its own adds a stage, a column and a reader; Tamis' code is not touched.

It runs in local mode and on executors of their own, is killed and goes on, and a bug in it is one sentence.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from corpus.files import load_manifest
from corpus.reading.run_reader import RunReader as StoredDocuments
from tests.engine.run_reader import RunReader
from tests.support.driver import Driver

pytestmark = [pytest.mark.spark, pytest.mark.slow]

STAGE = '''
"""Drops texts that shout, and publishes how loud the others are."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

import tamis
from my_package.words import CAPITAL


class Limits(tamis.StrictModel):
    most: float = tamis.setting(0.5, "Largest share of capital letters.", unit="share", ge=0, le=1)


class Shouting(tamis.Stage):
    name = "shouting"
    version = 1
    Decision = Limits
    provides = {"loudness": tamis.Column(pa.float64(), "Share of capital letters in the text.")}

    def scan(self, batch):
        text = batch.column("text")
        capitals = pc.count_substring_regex(text, CAPITAL).to_numpy()
        return batch.table(loudness=capitals / np.maximum(pc.utf8_length(text).to_numpy(), 1))

    def decide(self, evidence, rows, first_id, limits, earlier):
        loud = evidence.filter(pc.greater(evidence["loudness"], limits.most))
        return tamis.Verdict(tamis.Verdict.drop(loud, "shouts").drops, columns=evidence)


def few_words(document: tamis.Document, *, least: int = 2) -> bool | str:
    if "xyzzy" in document.text:
        raise KeyError("plugh")
    return len(document.text.split()) >= least or "few_words"
'''
READER = '''
"""Reads files in which each saying stands between lines of `%`."""

import tamis


def read(raw, file, config, limits):
    text = b""
    while piece := raw.read(1 << 16):
        text += piece
    for number, saying in enumerate(text.split(b"%\\n")):
        try:
            yield {"id": f"{file.name}-{number}", "text": saying.decode()}
        except UnicodeDecodeError:
            yield tamis.Bad(number, 1, "invalid_utf8", "")
'''
PIPELINE = """
name: own
code: code
inputs: [{domain: sayings, paths: ["raw/*.fortune"], format: "my_package.reader:read"}]
ingest: {target_shard_bytes: 2000}
stages:
  eligibility: {}
  exact_dedup: {}
  my_package.stage:Shouting: {most: 0.4}
  my_package.stage:few_words: {}
  score: {}
domains: {sayings: {shouting: {most: 0.3}}}
"""
CLUSTER = {
    "spark.master": "local-cluster[2,1,1024]",
    "spark.executor.memory": "1g",
    "spark.executor.extraJavaOptions": "-XX:TieredStopAtLevel=1",
}


def sayings(extra: str = "") -> bytes:
    """Two hundred calm ones, one of one word, two that shout, one that is no UTF-8."""
    calm = [f"The tide of the day {i} comes in at {i % 24} o'clock, and the boats know it well.\n" for i in range(200)]
    texts = [
        *calm,
        "Word\n",
        "NOBODY READS THIS LOUD SAYING\n",
        "AND NOBODY READS This ONE\n",
        *([extra] if extra else []),
    ]
    return b"%\n".join([*(t.encode() for t in texts), b"broken \xff\n"])


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The YAML, with the package and the input beside it."""
    folder = tmp_path_factory.mktemp("own")
    package = folder / "code" / "my_package"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "words.py").write_text('CAPITAL = r"\\p{Lu}"\n')
    (package / "stage.py").write_text(STAGE)
    (package / "reader.py").write_text(READER)
    (folder / "code" / "text.py").write_text("raise RuntimeError('a module of a common name was taken')\n")
    (folder / "raw").mkdir()
    (folder / "raw" / "a.fortune").write_bytes(sayings())
    (folder / "raw" / "b.fortune").write_bytes(sayings().replace(b"tide", b"moon"))
    (folder / "own.yaml").write_text(PIPELINE)
    assert len((STAGE + READER).splitlines()) <= 60
    return folder / "own.yaml"


@pytest.fixture(scope="module")
def reference(pipeline: Path) -> RunReader:
    """The run in local mode, of two workers."""
    driver = Driver(pipeline, pipeline.parent / "reference", **{"spark.master": "local[2]"})
    driver.finish()
    return RunReader(driver.out)


def test_its_column_its_reasons_and_its_name_reach_what_the_run_leaves(reference: RunReader) -> None:
    shards = load_manifest(reference.run.root / "shards")
    assert shards is not None
    schema = pq.read_schema(shards.paths("published")[0])
    assert schema.field("loudness").metadata[b"description"] == b"Share of capital letters in the text."
    table = pq.read_table(shards.paths("published"), partitioning=None)
    assert table.num_rows == 400 and max(table.column("loudness").to_pylist()) < 0.05
    assert table.column("loudness").null_count == 0
    dropped = pq.read_table(list((reference.run.root / "dropped").glob("*.parquet"))).to_pylist()
    reasons = sorted((row["stage"], row["reason"]) for row in dropped if row["stage"] != "exact_dedup")
    assert reasons == [("few_words", "few_words"), ("shouting", "shouts"), ("shouting", "shouts")]
    assert sum(row["stage"] == "exact_dedup" for row in dropped) == 3, "the same three in the second file"
    assert reference.run.ingest.body["quarantined"] == {"invalid_utf8": 2}
    record = json.loads((reference.run.root / "run.json").read_bytes())
    assert record["own_code"]["my_package.stage:Shouting"] == 1
    assert set(record["own_code"]) == {
        f"my_package.{name}" for name in ("stage:Shouting", "stage:few_words", "reader:read")
    }
    assert reference.chain["shouting"].body["code"] == "my_package.stage:Shouting"


def test_executors_of_their_own_give_the_same_bytes(pipeline: Path, reference: RunReader, tmp_path: Path) -> None:
    driver = Driver(pipeline, tmp_path / "run", **CLUSTER)
    driver.finish()
    assert RunReader(driver.out).file_digests() == reference.file_digests()


def test_killed_in_its_scan_it_goes_on(pipeline: Path, reference: RunReader, tmp_path: Path) -> None:
    out = tmp_path / "run"
    scan = out / "stages" / "shouting" / "evidence"
    Driver(pipeline, out).kill_when(lambda: any(scan.glob("*/receipts/*.json")))
    Driver(pipeline, out).finish()
    assert RunReader(out).file_digests() == reference.file_digests()


def test_a_bug_in_it_is_one_sentence_with_the_document(pipeline: Path, reference: RunReader, tmp_path: Path) -> None:
    spoilt = tmp_path / "raw" / "c.fortune"
    spoilt.parent.mkdir()
    spoilt.write_bytes(sayings("The magic word is xyzzy.\n"))
    own = pipeline.with_name("spoilt.yaml")
    own.write_text(
        f"extends: own.yaml\ninputs: [{{domain: sayings, paths: ['{spoilt}'], format: my_package.reader:read}}]\n"
    )
    driver = Driver(own, tmp_path / "run")
    assert driver.code() == 2
    said = [line for line in driver.said().splitlines() if line.startswith("tamis: ")]
    line = next(n for n, text in enumerate(STAGE.splitlines(), 1) if "plugh" in text)
    assert len(said) == 1 and "Traceback" not in driver.said() and "java" not in driver.said().lower()
    found = re.search(r"few_words failed on document (\d+): KeyError: 'plugh' \(stage.py, line (\d+)\)", said[0])
    assert found is not None and int(found[2]) == line, said
    stored = StoredDocuments(tmp_path / "run").documents([int(found[1])], ["text"])
    assert "xyzzy" in stored[int(found[1])]["text"]

"""The cost of one stage in CPU-seconds of its whole process tree, start of the JVM and all.

For each size a corpus is made once (`benchmarks.corpora.corpus`) and ingested once. Then a fresh process
(`benchmarks.tools.one_stage`) brings a copy of the ingested run folder (hard links) to the end of the stage, and
`benchmarks.tools.cpu` counts all its processes.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import yaml

from benchmarks.corpora.corpus import cached
from benchmarks.tools.cpu import Usage, measure
from benchmarks.tools.dedup_run import write_documents
from benchmarks.tools.one_stage import FLOOR

WARM_UP_GIGABYTES = 0.012
SHARD_BYTES = 128 << 20
ONE_DOCUMENT = "A single document of a single sentence, which has nothing in common with any other document."


class StageBench:
    """Corpora, ingested run folders and measured stages below one folder.

    Args:
        work: the folder.
        cores: of Spark.
        shard_bytes: text of a document shard.
        data: the shared data folder.
        fresh: whether to ingest anew.
        lang: "en", "zh" or "both".
    """

    def __init__(
        self, work: Path, cores: int, shard_bytes: int, data: Path, fresh: bool = False, lang: str = "both"
    ) -> None:
        self.work, self.cores, self.shard_bytes, self.data = work.absolute(), cores, shard_bytes, data
        self.fresh, self.lang = fresh, lang
        self._ingested: set[float] = set()

    def facts(self, gigabytes: float) -> dict[str, int]:
        """Documents and bytes of a corpus, which is made where it is missing; size 0 is the corpus of one document."""
        folder = self.folder(gigabytes)
        if not gigabytes:
            write_documents(folder / "input", {"one": ONE_DOCUMENT})
            return {"documents": 1, "bytes": len(ONE_DOCUMENT)}
        body = cached(folder, gigabytes, self.lang, data=self.data)
        return {"documents": body["documents"], "bytes": body["bytes"]}

    def stage(self, gigabytes: float, stage: str) -> Usage:
        """The cost of bringing the ingested corpus to the end of a stage."""
        ingested = self.ingest(gigabytes)
        run = self.work / "run"
        shutil.rmtree(run, ignore_errors=True)
        shutil.copytree(ingested, run, copy_function=os.link, ignore=shutil.ignore_patterns("lock", "*.json"))
        for path in ingested.rglob("*.json"):
            shutil.copy(path, run / path.relative_to(ingested))
        usage = self._run(gigabytes, run, stage)
        shutil.rmtree(run)
        return usage

    def ingest(self, gigabytes: float) -> Path:
        """The ingested run folder of a corpus."""
        folder = self.folder(gigabytes)
        run = folder / f"ingested-{self.shard_bytes}"
        if gigabytes not in self._ingested:
            self.facts(gigabytes)
            if self.fresh:
                shutil.rmtree(run, ignore_errors=True)
            self._run(gigabytes, run, "ingest")
            self._ingested.add(gigabytes)
        return run

    def _run(self, gigabytes: float, run: Path, stage: str) -> Usage:
        folder = self.folder(gigabytes)
        body = {
            "name": "speed",
            "inputs": [{"domain": "web", "paths": [str(folder / "input" / "*.parquet")]}],
            "ingest": {"target_shard_bytes": self.shard_bytes},
            "stages": {} if stage in ("ingest", FLOOR) else {stage: {}},
        }
        path = folder / f"{stage}.yaml"
        path.write_text(yaml.safe_dump(body), "utf-8")
        command = [sys.executable, "-m", "benchmarks.tools.one_stage", str(path), str(run), stage]
        return measure([*command, "--cores", str(self.cores)])

    def folder(self, gigabytes: float) -> Path:
        """Where a corpus lies."""
        return self.work / f"corpus-{self.lang}-{gigabytes:g}"

"""Counts the funnel from committed tables, checks its sums, writes `RUN/ledger.json`.

The same tasks count what each stage dropped by domain and source, for `pipelines.run.raise_alarm`.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from corpus.files import commit, load_manifest, stable_hash, write_json, write_table
from corpus.ledger import StageLedger, account, total_ledgers
from corpus.removal_counts import ShardCounts, merge
from corpus.run_folder import RunFolder
from corpus.shard_state import ShardState
from pipelines.spark.session import Cluster
from pipelines.spark.wire import decode
from pipelines.stages.registry import shard_tasks
from pipelines.stages.shard_task import Chain, ShardTask
from tamis.errors import TamisError
from tamis.version import RECORD

LEDGER_VERSION = 2
"""Raised when `count_shard` counts something else; counts of another version are not used."""


@dataclass(frozen=True)
class LedgerTask:
    """A document shard to be counted, and the folder for its counts by source."""

    task: ShardTask
    folder: Path


@dataclass(frozen=True)
class Kept:
    """What is kept of a domain, as assigned last, in one document shard; bytes are of text as it will be published."""

    shard: int
    domain: str
    documents: int
    bytes: int


@dataclass(frozen=True)
class DomainCounts:
    """What came in and what is kept of one domain in one document shard."""

    domain: str
    documents_in: int
    documents_kept: int
    bytes_in: int
    bytes_kept: int


@dataclass(frozen=True)
class ShardLedger:
    """The counts of one document shard; `removal` is the file of drops by source, in the folder of the counts."""

    stages: list[StageLedger]
    kept: list[Kept]
    domains: list[DomainCounts]
    removal: str = ""


def write_ledger(run: RunFolder, chain: Chain, seconds: dict[str, float], cluster: Cluster) -> list[Kept]:
    """Counts every decision in every shard, unless that has been done; returns what is kept, in shard order.

    Raises:
        TamisError: a sum is off; nothing is published then.
    """
    answers = _count_shards(run, chain, cluster)
    stages = []
    for i, (name, _) in enumerate(chain):
        total = total_ledgers(name, [answer.stages[i] for answer in answers])
        total.seconds = round(seconds.get(name, 0.0), 3)
        stages.append(asdict(total))
    _check_links(run, stages)
    keys = ("records", "documents", "not_sampled", "skipped", "source_bytes", "text_bytes", "sentences")
    body = {
        **RECORD,
        "ingest": {key: run.ingest.body[key] for key in keys},
        "stages": stages,
        "quarantined": run.ingest.body["quarantined"],
        "domains": _by_domain(answers),
    }
    write_json(run.root / "ledger.json", body)
    return [kept for answer in answers for kept in answer.kept]


def _count_shards(run: RunFolder, chain: Chain, cluster: Cluster) -> list[ShardLedger]:
    """The counts of every shard, committed under the hash of the decisions that they count."""
    folder = run.root / "accounts"
    decisions = [[name, m.body["key"]] for name, m in chain]
    key = stable_hash([LEDGER_VERSION, run.ingest.body["identity"], decisions])
    done = load_manifest(folder)
    if done is not None and done.body["key"] == key:
        return [decode(ShardLedger, json.dumps(answer)) for answer in done.body["answers"]]
    answers = cluster.map(
        count_shard,
        [LedgerTask(task, folder) for task in shard_tasks(run.shards, chain)],
        label="ledger",
        receipts=folder / f"receipts-{key}",
        weights=[s.rows for s in run.shards],
    )
    tables = (pq.read_table(folder / answer.removal, partitioning=None) for answer in answers)
    removal = merge(tables, [name for name, _ in chain])
    answers = [replace(answer, removal="") for answer in answers]
    body = {"key": key, "answers": [asdict(answer) for answer in answers]}
    commit(folder, body, [write_table(folder, "removal", removal, kind="removal")])
    return answers


def _check_links(run: RunFolder, stages: list[dict[str, Any]]) -> None:
    """What comes into a stage is what the stage before it kept."""
    documents, size = run.ingest.body["documents"], run.ingest.body["text_bytes"]
    for stage in stages:
        if stage["documents_in"] != documents or stage["bytes_in"] != size:
            raise TamisError(
                f"the ledger does not join: {stage['name']} received other documents than were kept before it"
            )
        documents, size = stage["documents_kept"], stage["bytes_kept"]


def _by_domain(answers: list[ShardLedger]) -> dict[str, dict[str, int]]:
    totals: dict[str, dict[str, int]] = {}
    for counts in (counts for answer in answers for counts in answer.domains):
        line = asdict(counts)
        total = totals.setdefault(line.pop("domain"), dict.fromkeys(line, 0))
        for key, value in line.items():
            total[key] += value
    return dict(sorted(totals.items()))


def count_shard(job: LedgerTask) -> ShardLedger:
    """Task: the counts of a document shard for each decision; writes those by source to a file."""
    task = job.task
    size, sentences = task.shard.lengths()
    domains = task.domains().astype(str)
    removal = ShardCounts(domains, task.shard.read(["source"]).column("source"), size)
    before = ShardState.fresh(task.shard.rows)
    stages = []
    for stage, decision in task.decisions():
        drops, edits = (decision.read(table, task.shard.number) for table in ("drops", "edits"))
        ledger, state = account(stage, before, drops, edits, size, sentences)
        removal.add(stage, before, state)
        stages.append(ledger)
        before = state
    entry = write_table(job.folder, f"removal-{task.shard.number:06d}", removal.table(), kind="removal")
    kept, counts = [], []
    left = size - before.edits.cut_bytes()
    final = left + before.edits.rewritten_bytes()
    for domain in map(str, np.unique(domains)):
        here = domains == domain
        alive = here & before.alive
        documents = int(alive.sum())
        counts.append(DomainCounts(domain, int(here.sum()), documents, int(size[here].sum()), int(left[alive].sum())))
        if documents:
            kept.append(Kept(task.shard.number, domain, documents, int(final[alive].sum())))
    return ShardLedger(stages, kept, counts, entry.path)

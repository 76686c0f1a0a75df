"""Counts the funnel from committed tables, checks its sums, writes ``RUN/ledger.json``.

In the same reading what each stage took is counted by domain and source, for ``pipelines.run.removal``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from corpus.files import Manifest, commit, load_manifest, stable_hash, write_json, write_table
from corpus.ledger import StageLedger, account, total_ledgers
from corpus.removal_counts import ShardCounts, merge
from corpus.run_folder import RunFolder
from corpus.shard_state import ShardState, read_files
from pipelines.spark.session import Cluster
from pipelines.stages.shard_task import ShardTask, decision_files
from tamis.errors import TamisError

LEDGER_VERSION = 2
"""Raised when ``account_shard`` counts something else; committed counts of another version are counted again."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What is left of one domain in one document shard.

    Attributes:
        shard: document shard number.
        domain: final domain.
        documents: alive.
        bytes: bytes of their final views.
    """

    shard: int
    domain: str
    documents: int
    bytes: int


def write_ledger(
    run: RunFolder, chain: Sequence[tuple[str, Manifest]], seconds: dict[str, float], cluster: Cluster
) -> list[Kept]:
    """Counts every stage of the chain in every shard; what has been counted for these decisions is not counted again.

    Returns:
        What is kept, by shard and domain, in shard order.

    Raises:
        TamisError: a sum is off; nothing is published then.
    """
    answers = _counted(run, chain, cluster)
    stages = []
    for i, (name, _) in enumerate(chain):
        total = total_ledgers(name, [StageLedger(**a["stages"][i]) for a in answers])
        total.seconds = round(seconds.get(name, 0.0), 3)
        stages.append(asdict(total))
    _check_links(run, stages)
    keys = ("records", "documents", "not_sampled", "skipped", "source_bytes", "text_bytes", "sentences")
    body = {
        "ingest": {key: run.ingest.body[key] for key in keys},
        "stages": stages,
        "quarantined": run.ingest.body["quarantined"],
        "domains": _by_domain(answers),
    }
    write_json(run.root / "ledger.json", body)
    return [Kept(**k) for a in answers for k in a["kept"]]


def _counted(run: RunFolder, chain: Sequence[tuple[str, Manifest]], cluster: Cluster) -> list[dict[str, Any]]:
    """The answers of ``account_shard`` for every shard, committed under the hash of the decisions that they count."""
    folder = run.root / "accounts"
    decisions = [[name, m.body["key"]] for name, m in chain]
    key = stable_hash([LEDGER_VERSION, run.ingest.body["identity"], decisions])
    done = load_manifest(folder)
    if done is not None and done.body["key"] == key:
        return list(done.body["answers"])
    payloads = [ShardTask(s, decision_files(chain, s), "", {}, {}, {}, (), folder, 0).payload() for s in run.shards]
    answers = cluster.map(
        "pipelines.run.ledger:account_shard",
        payloads,
        label="ledger",
        receipts=folder / f"receipts-{key}",
        weights=[s.rows for s in run.shards],
    )
    paths = [folder / a.pop("removal") for a in answers]
    removal = merge((pq.read_table(path, partitioning=None) for path in paths), [name for name, _ in chain])
    commit(folder, {"key": key, "answers": answers}, [write_table(folder, "removal", removal, kind="removal")])
    return answers


def _check_links(run: RunFolder, stages: list[dict[str, Any]]) -> None:
    """What enters a stage is what the one before kept."""
    documents, size = run.ingest.body["documents"], run.ingest.body["text_bytes"]
    for stage in stages:
        if stage["documents_in"] != documents or stage["bytes_in"] != size:
            raise TamisError(
                f"the ledger does not join: {stage['name']} received other documents than were kept before it"
            )
        documents, size = stage["documents_kept"], stage["bytes_kept"]


def _by_domain(answers: list[dict[str, Any]]) -> dict[str, dict[str, int]]:
    totals: dict[str, dict[str, int]] = {}
    for answer in answers:
        for line in answer["domains"]:
            total = totals.setdefault(
                line["domain"], {"documents_in": 0, "documents_kept": 0, "bytes_in": 0, "bytes_kept": 0}
            )
            for key in total:
                total[key] += line[key]
    return dict(sorted(totals.items()))


def account_shard(payload: dict[str, Any]) -> dict[str, Any]:
    """Task: the counts of one document shard, for each decision of the chain; those by source go to a file."""
    task = ShardTask.of(payload)
    size, sentences = task.shard.lengths()
    domains = task.domains().astype(str)
    removal = ShardCounts(domains, task.shard.read(["source"]).column("source"), size)
    before = ShardState.fresh(task.shard.rows)
    stages = []
    for files in task.chain:
        ledger, state = account(files.stage, before, read_files(files.drops), read_files(files.edits), size, sentences)
        removal.add(files.stage, before, state)
        stages.append(asdict(ledger))
        before = state
    entry = write_table(task.folder, f"removal-{task.shard.number:06d}", removal.table(), kind="removal")
    kept, lines = [], []
    left = size - before.edits.cut_bytes()
    final = left + before.edits.rewritten_bytes()
    for domain in np.unique(domains):
        here = domains == domain
        alive = here & before.alive
        lines.append(
            {
                "domain": str(domain),
                "documents_in": int(here.sum()),
                "documents_kept": int(alive.sum()),
                "bytes_in": int(size[here].sum()),
                "bytes_kept": int(left[alive].sum()),
            }
        )
        if alive.any():
            kept.append(
                {
                    "shard": task.shard.number,
                    "domain": str(domain),
                    "documents": int(alive.sum()),
                    "bytes": int(final[alive].sum()),
                }
            )
    return {"stages": stages, "kept": kept, "domains": lines, "removal": entry.path}

"""Stage `exact_dedup`: one copy of each text, counted.

"Exact" is equality after NFC and collapsed white space, by a 128-bit digest; with `white_space: keep`, as the shipped
profile `code` has it, white space counts. The earliest eligible copy is kept.

A text that occurs in several domains keeps one *contender* in each at first: the rules of a domain may drop its copy
later, and then the next one must be there to be kept. Each contender goes through the rules of its own domain; after
that `settle_copies` elects one of them.

Cost: 29 bytes a document are shuffled, once; a task sorts its share of the digests.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpus.config import StrictModel, setting
from corpus.files import FileEntry, Manifest
from corpus.schemas import DROPS
from dedup.exact import GONE, STANDS, elect_copies
from pipelines.spark.blocks import Block, Inbox, NextHop, by_hash, by_shard, split
from pipelines.spark.exchange import Hop, partitions_for
from pipelines.spark.session import Cluster
from pipelines.stages.base import Batch, GlobalStage
from pipelines.stages.context import DecisionContext, GlobalVerdict, count_rows
from pipelines.stages.exact_dedup.settle_copies import settle_copies
from pipelines.stages.shard_task import ShardTask
from text.hash import digest128

COLUMNS = pa.schema(
    {
        "row": pa.int32(),
        "doc_id": pa.int64(),
        "exact_copies": pa.int32(),
        "first_copy": pa.int64(),
        "domains": pa.int32(),
    }
)
"""About kept documents with copies: the number of copies, the first contender, the number of contending domains."""
CONTESTED = pa.schema({"row": pa.int32(), "doc_id": pa.int64(), "first_copy": pa.int64()})
"""Documents whose text has several contenders: table `contenders`, and `followers`, copies dropped for one of them."""
ROW_BYTES = 29
"""What a document takes in the exchange."""


class ExactDedupEvidence(StrictModel):
    """What equal texts have in common."""

    white_space: Literal["ignore", "keep"] = setting(
        "ignore",
        "With keep, texts that differ in white space are not the same, as source code wants it; spaces at a line's end,"
        " at the text's end and how lines end never count.",
    )
    white_space_of: dict[str, Literal["ignore", "keep"]] = setting(
        {}, "Domain → its own white_space; Tamis fills this in from `domains`."
    )


class ExactDedupDecision(StrictModel):
    """Which of the domains that have a text keeps it."""

    priority: tuple[str, ...] = setting((), "Domains, the first first; Tamis fills this in from the pipeline's.")


class ExactDedup(GlobalStage):
    """Groups documents by digest; keeps the earliest of each domain."""

    name: ClassVar[str] = "exact_dedup"
    version: ClassVar[int] = 3
    paper: ClassVar[str] = "Baichuan 2 (arXiv 2309.10305), figure 2; Lee et al. 2022 (arXiv 2107.06499)"
    provides: ClassVar[Mapping[str, pa.DataType]] = {"exact_copies": pa.int32()}
    provisional: ClassVar[bool] = True
    Evidence = ExactDedupEvidence
    Decision = ExactDedupDecision
    by_domain: ClassVar[tuple[str, ...]] = ()
    scan_by_domain: ClassVar[tuple[str, ...]] = ("white_space",)

    def scan(self, batch: Batch) -> pa.Table:
        """One row a document: the two halves of its digest."""
        low, high = digest128(batch.texts.column, batch.settings["white_space"] == "keep")
        return batch.table(low=low, high=high)

    def decide_globally(self, context: DecisionContext) -> GlobalVerdict:
        """Drops all copies within a domain but the first; lists contenders of texts that occur in several domains."""
        partitions = partitions_for(context.evidence_rows(), ROW_BYTES, context.cluster.least_partitions)
        files = context.exchange(
            emit_digests,
            [DigestTask(task, partitions) for task in context.tasks()],
            [Hop(group_copies, partitions, NextHop(context.writers))],
            {"drops": DROPS, "columns": COLUMNS, "contenders": CONTESTED, "followers": CONTESTED},
            label="exact_dedup: elect",
        )
        return GlobalVerdict(
            files, {"contenders": count_rows(files, "contenders"), "priority": list(context.config.priority)}
        )

    @classmethod
    def settle(
        cls, provisional: Manifest, tasks: Sequence[ShardTask], folder: Path, cluster: Cluster
    ) -> list[FileEntry] | None:
        """Elects among the contenders; see `settle_copies`."""
        return settle_copies(provisional, tasks, folder, cluster)


@dataclass(frozen=True)
class DigestTask:
    """A document shard whose digests are sent to so many partitions."""

    task: ShardTask
    partitions: int


def emit_digests(job: DigestTask) -> Iterator[Block]:
    """Source: the digests of a document shard, by digest."""
    task = job.task
    evidence = task.read_evidence(["row", "doc_id", "low", "high"])
    if evidence is None:
        return
    low = evidence.column("low").to_numpy()
    columns = {
        "low": low,
        "high": evidence.column("high"),
        "doc_id": evidence.column("doc_id"),
        "domain": domain_codes(task.domains()[evidence.column("row").to_numpy()]),
        "state": np.zeros(len(low), np.int8),
    }
    if task.earlier:  # which of its documents were still alive when the copies of that snapshot were settled
        stood = task.state(until=lambda decided: decided.needs_settled).alive
        columns["state"] = np.where(stood[evidence.column("row").to_numpy()], STANDS, GONE).astype(np.int8)
    yield from split("digests", columns, by_hash(low, job.partitions))


def domain_codes(domains: npt.NDArray[np.object_]) -> npt.NDArray[np.int32]:
    """A number for each domain name, int32[n]; equal names have equal numbers in all tasks."""
    names, inverse = np.unique(domains.astype(str), return_inverse=True)
    codes = [int.from_bytes(hashlib.sha256(str(n).encode()).digest()[:4], "big", signed=True) for n in names]
    return np.array(codes, np.int32)[inverse]


def group_copies(inbox: Inbox, writers: NextHop) -> Iterator[Block]:
    """Hop: the digests of one partition → drops, columns, contenders and followers, by shard."""
    table = inbox.table("digests")
    if table is None:
        return
    names = ("low", "high", "doc_id", "domain", "state")
    found = elect_copies(*(table.column(name).to_numpy() for name in names))
    dropped = found.survivor != found.doc_id
    contested = found.contenders > 1
    own = found.contender == found.doc_id
    shard = by_shard(found.doc_id, writers.partitions)
    drops = {
        "doc_id": found.doc_id[dropped],
        "reason": np.full(int(dropped.sum()), "exact_duplicate"),
        "survivor": found.survivor[dropped],
        "similarity": np.ones(int(dropped.sum()), np.float32),
    }
    yield from split("drops", drops, shard[dropped])
    kept = ~dropped
    columns = {
        "doc_id": found.doc_id[kept],
        "exact_copies": found.copies[kept],
        "first_copy": found.first[kept],
        "domains": found.contenders[kept],
    }
    yield from split("columns", columns, shard[kept])
    for kind, chosen in (("contenders", contested & own), ("followers", contested & ~own)):
        columns = {"doc_id": found.doc_id[chosen], "first_copy": found.first[chosen]}
        yield from split(kind, columns, shard[chosen])

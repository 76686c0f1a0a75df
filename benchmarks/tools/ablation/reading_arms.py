"""The arms of `benchmarks.ablations.data_ablation`: one run read in five ways, by which of its decisions count.

    raw        every ingested document, as ingested; no decision counts
    filtered   after the drops, cuts and rewrites of the filters; every copy stays
    document   also without the documents that exact_dedup and near_dedup dropped
    full       also without the spans that span_dedup cut and the documents that it dropped: the published shards
    scored     the same shards, drawn by the weights of the run

Two neighbouring arms differ in one thing: filters, document dedup, span dedup, weights. All arms but the raw one are
filtered, because the dedup of the run never saw what the filters had dropped: an arm without filters would be
deduplicated in one part only.

Filters do not judge what exact_dedup has dropped before them. So in `filtered` an exact copy has the fate and the text
of its survivor, from which it differs in white space at most. Near copies have been judged themselves, except by `pii`,
which comes after near_dedup: addresses and numbers in them are not rewritten.

A document's language is its domain, if the domains of the run are named by languages. Otherwise it is detected in the
text as ingested, so that it is the same in all arms. Cost: all text in memory, once for each arm; seconds for some
megabytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpus.files import Manifest
from corpus.run_folder import DocumentShard, RunFolder
from corpus.shard_state import ShardState, load_state
from corpus.view import build_view
from filters.language.detect import detect
from sampler.weight_files import find_weights
from tamis.errors import ConfigError
from text.arrow import TextColumn

FILTER, DOCUMENT, SPAN = "filter", "document", "span"
KINDS = {"exact_dedup": DOCUMENT, "near_dedup": DOCUMENT, "span_dedup": SPAN}
"""Stage → the kind of its decisions; FILTER for stages that are not named."""
BEHIND_DEDUP = ("pii", "span_dedup", "score")
"""Stages that may follow near_dedup; any other would not have judged what near_dedup dropped."""
TEXT = pa.schema(
    [("doc_id", pa.int64()), ("text", pa.large_string()), ("language", pa.string()), ("source", pa.string())]
)


@dataclass(frozen=True, slots=True)
class Arm:
    """A way to read the run.

    Attributes:
        name: of the arm.
        takes: the kinds of decisions that count.
        scored: whether the weights of the run count.
    """

    name: str
    takes: frozenset[str] = frozenset()
    scored: bool = False

    @property
    def folder(self) -> str:
        """The folder of its text; weights do not change text."""
        return FULL.name if self.scored else self.name


RAW, FILTERED = Arm("raw"), Arm("filtered", frozenset({FILTER}))
DEDUPLICATED = Arm("document", frozenset({FILTER, DOCUMENT}))
FULL = Arm("full", frozenset({FILTER, DOCUMENT, SPAN}))
SCORED = Arm("scored", FULL.takes, scored=True)
ARMS = (RAW, FILTERED, DEDUPLICATED, FULL, SCORED)


@dataclass(frozen=True)
class Source:
    """A finished run.

    Attributes:
        root: its folder.
        languages: those that are trained on; documents in others are in no arm.
        folder: the run folder, opened.
        chain: its stages and their decisions.
    """

    root: Path
    languages: tuple[str, ...]
    folder: RunFolder = field(init=False)
    chain: list[tuple[str, Manifest]] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "folder", RunFolder(self.root))
        object.__setattr__(self, "chain", self.folder.chain())

    def check(self) -> None:
        """Refuses a run that the arms cannot be read from.

        Raises:
            ConfigError: it has earlier snapshots, lacks a stage or weights, or its stages are in another order.
        """
        stages = [stage for stage, _ in self.chain]
        for needed in KINDS:
            if needed not in stages:
                raise ConfigError(
                    f"--run: found {self.root} without the stage {needed}; expected a finished run of "
                    "conf/pipelines/default.yaml"
                )
        behind = set(stages[stages.index("near_dedup") + 1 :]) - set(BEHIND_DEDUP)
        if behind or stages.index("span_dedup") < stages.index("near_dedup"):
            found = ", ".join(sorted(behind)) or "near_dedup"
            raise ConfigError(
                f"--run: found {self.root}, in which {found} stands behind a dedup that it should stand before; "
                "expected the order of conf/pipelines/default.yaml"
            )
        if self.folder.earlier_runs():
            raise ConfigError(f"--run: found {self.root} run against earlier snapshots; expected one without --against")
        if find_weights(self.root).folder is None:
            raise ConfigError(f"--run: found {self.root} without weights; expected a run that went to its end")

    def state(self, shard: DocumentShard, takes: frozenset[str]) -> ShardState:
        """The state of a document shard after the decisions of some kinds."""
        taken = (decision for stage, decision in self.chain if KINDS.get(stage, FILTER) in takes)
        return load_state(taken, shard.number, shard.rows)

    def documents(self, takes: frozenset[str]) -> pa.Table:
        """The documents after the decisions of some kinds, as TEXT, in the order of ids."""
        return pa.concat_tables([self._of_shard(shard, takes) for shard in self.folder.shards], promote_options="none")

    def _of_shard(self, shard: DocumentShard, takes: frozenset[str]) -> pa.Table:
        stored = shard.read(["text", "source"])
        column = TextColumn.from_arrow(stored["text"])
        state = self.state(shard, takes)
        rows = np.flatnonzero(state.alive).astype(np.int32)
        picked = pa.array(rows)
        return pa.table(
            [
                pa.array(shard.first_id + rows.astype(np.int64)),
                build_view(column, state.edits, rows).column.to_arrow().cast(pa.large_string()),
                self._languages(shard, column).take(picked),
                stored["source"].take(picked).cast(pa.string()),
            ],
            schema=TEXT,
        )

    def _languages(self, shard: DocumentShard, stored: TextColumn) -> pa.Array:
        if set(self.languages) <= {s.domain for s in self.folder.shards}:
            return pa.array([shard.domain] * shard.rows, pa.string())
        return detect(stored).codes.dictionary_decode().cast(pa.string())

    def exact_copies(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """The ids that exact_dedup dropped, ascending, and the survivor of each: int64[n] both."""
        manifest = dict(self.chain)["exact_dedup"]
        drops = manifest.read_all("drops", ["doc_id", "survivor"])
        if drops is None:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        drops = drops.sort_by("doc_id")
        return drops["doc_id"].to_numpy(), drops["survivor"].to_numpy()

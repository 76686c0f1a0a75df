"""One run, five ways to read it: what each group of its decisions leaves of the raw documents.

    raw        every ingested document, as ingested; no decision counts
    filtered   the filters' drops, cuts and rewrites; every copy stays
    document   without the documents that exact_dedup and near_dedup dropped, too
    full       without the spans that span_dedup cut, and the documents that it dropped: the published shards
    scored     the same shards, drawn by the run's weights

An arm takes all that the arm before it takes and one thing more, so that two neighbours differ in that alone: filters,
document dedup, span dedup, weights. Filters are in every arm but the raw one because the run's dedup never saw what
they had dropped: without them, an arm would be deduplicated in one part and not in the other.

Filters do not judge what exact_dedup has dropped before them, so in ``filtered`` an exact copy has the fate and the
text of its survivor, from which its own differs in white space at most. Near copies have been judged themselves,
except by ``pii``, which stands behind near_dedup: in them addresses and numbers are not rewritten.

*Held-out text* is given, or chosen from the published documents by hash, among those that have no copy, no near copy,
no neighbour in meaning, no repeated span, and no relative: an ingested document that holds 20 % of its 5-grams, or is
held by it to 20 %. Relatives of given text leave every arm, and so do the chosen documents themselves: raw text holds
copies of everything, and an arm that has kept a copy of what it is judged on would look good.

A document's language is its domain's, where the run's domains are named by languages; else it is detected, on the text
as ingested, so that it is the same in all arms. Cost: all text in memory, once an arm; seconds for some megabytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.corpora.ablation_corpus import MOST_SHARED, most_shared
from corpus.files import Manifest
from corpus.run_folder import DocumentShard, RunFolder
from corpus.state import DecisionFiles, ShardState, load_state, read_files
from corpus.view import build_view
from filters.language.detect import detect
from sampler.bins.format import TokenBins
from sampler.published import list_shards
from sampler.weight_files import Weights, find_weights
from tamis.errors import ConfigError, TamisError
from text.arrow import TextColumn
from text.hash import uniform

FILTER, DOCUMENT, SPAN = "filter", "document", "span"
KINDS = {"exact_dedup": DOCUMENT, "near_dedup": DOCUMENT, "span_dedup": SPAN}
"""What a stage's decisions are; of stages that are not named, FILTER."""
BEHIND_DEDUP = ("pii", "span_dedup", "score")
"""Stages that may stand behind near_dedup: another there has not judged what near_dedup dropped."""
ALONE = {"frequency": 1, "component_size": 1, "semantic_size": 1, "max_span_copies": 1}
"""What published columns say of a document that nothing else in the run resembles."""
MOST_HELD = 0.1
"""Share of the published text of a language that may be held out."""
SPARE = 3
"""Times the held-out bytes that are looked at for relatives."""
GRAM = 5
TEXT = pa.schema(
    [("doc_id", pa.int64()), ("text", pa.large_string()), ("language", pa.string()), ("source", pa.string())]
)

Ids = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Arm:
    """A reading of the run.

    Attributes:
        name: of it.
        takes: the kinds of decisions that count.
        scored: whether the run's weights do.
    """

    name: str
    takes: frozenset[str] = frozenset()
    scored: bool = False

    @property
    def folder(self) -> str:
        """Where its text lies: weights do not change text."""
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
        languages: what is trained on; documents of others are in no arm.
        folder: it, opened.
        chain: its decisions.
    """

    root: Path
    languages: tuple[str, ...]
    folder: RunFolder = field(init=False)
    chain: list[tuple[str, Manifest]] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "folder", RunFolder(self.root))
        object.__setattr__(self, "chain", self.folder.chain())

    def check(self) -> None:
        """Refuses a run of which no such arms can be made.

        Raises:
            ConfigError: it has earlier snapshots, lacks a stage or weights, or its stages are in another order.
        """
        stages = [stage for stage, _ in self.chain]
        for needed in KINDS:
            if needed not in stages:
                raise ConfigError(
                    f"--run: {self.root} has no stage {needed} (allowed: a finished run of conf/pipelines/default.yaml)"
                )
        behind = set(stages[stages.index("near_dedup") + 1 :]) - set(BEHIND_DEDUP)
        if behind or stages.index("span_dedup") < stages.index("near_dedup"):
            found = ", ".join(sorted(behind)) or "near_dedup"
            raise ConfigError(
                f"--run: in {self.root} {found} stands behind a dedup that it should stand before (allowed: the order "
                "of conf/pipelines/default.yaml)"
            )
        if self.folder.earlier_runs():
            raise ConfigError(
                f"--run: {self.root} was run against earlier snapshots (allowed: a run without --against)"
            )
        if find_weights(self.root).folder is None:
            raise ConfigError(f"--run: {self.root} has no weights (allowed: a run that went to its end)")

    def state(self, shard: DocumentShard, takes: frozenset[str]) -> ShardState:
        """What decisions of some kinds leave of a document shard."""
        files = [DecisionFiles.of(s, m, shard.number) for s, m in self.chain if KINDS.get(s, FILTER) in takes]
        return load_state(files, shard.rows)

    def documents(self, takes: frozenset[str]) -> pa.Table:
        """What decisions of some kinds leave, as TEXT, in the order of ids."""
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

    def exact_copies(self) -> tuple[Ids, Ids]:
        """What exact_dedup dropped, ascending, and the survivor of each: int64[n] each."""
        manifest = dict(self.chain)["exact_dedup"]
        drops = read_files(manifest.paths("drops"), ["doc_id", "survivor"])
        if drops is None:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        drops = drops.sort_by("doc_id")
        return drops["doc_id"].to_numpy(), drops["survivor"].to_numpy()


def texts_of(source: Source, arm: Arm) -> pa.Table:
    """An arm's documents, as TEXT, in the order of ids.

    Raises:
        TamisError: the last arm's are not those that the run has published.
    """
    found = source.documents(arm.takes)
    if arm == FILTERED:
        return _with_copies(found, *source.exact_copies())
    if arm == FULL:
        _require_published(source.root, found)
    return found


def _with_copies(found: pa.Table, copies: Ids, survivors: Ids) -> pa.Table:
    """The documents, each exact copy with the text of its survivor, and gone where that one is."""
    ids = found["doc_id"].to_numpy()
    at = np.searchsorted(ids, copies)
    is_copy = at < len(ids)
    is_copy[is_copy] = ids[at[is_copy]] == copies[is_copy]
    where = np.arange(len(ids))
    home = np.searchsorted(ids, survivors[is_copy])
    there = home < len(ids)
    there[there] = ids[home[there]] == survivors[is_copy][there]
    where[at[is_copy]] = np.where(there, home, -1)
    kept = np.flatnonzero(where >= 0)
    texts = found["text"].combine_chunks().take(pa.array(where[kept]))
    return found.take(pa.array(kept)).set_column(1, "text", texts)


def _require_published(root: Path, found: pa.Table) -> None:
    published = read_published(root, ["doc_id", "text"])
    if not (
        published["doc_id"].equals(found["doc_id"])
        and published["text"].cast(pa.large_string()).equals(found["text"].cast(pa.large_string()))
    ):
        raise TamisError(f"{root}: its decisions do not give its published shards; please report this")


def read_published(root: Path, columns: list[str]) -> pa.Table:
    """Some columns of all published shards, in the order of ids."""
    paths = [shard.path for shards in list_shards(root).values() for shard in shards]
    for path in paths:
        if missing := set(columns) - set(pq.read_schema(path).names):
            raise ConfigError(f"--run: {path} lacks the column {min(missing)} (allowed: a run of this version)")
    return pa.concat_tables([pq.read_table(p, columns=columns, partitioning=None) for p in paths]).sort_by("doc_id")


def choose_held_out(source: Source, size: int, seed: int) -> pa.Table:
    """Published documents that nothing else in the run resembles, by hash: as TEXT.

    Args:
        source: the run.
        size: UTF-8 bytes a language; at most a tenth of what is published of it.
        seed: of the hash.
    """
    published = read_published(source.root, ["doc_id", "bytes", *ALONE])
    full = texts_of(source, FULL)
    alone = np.logical_and.reduce([published[name].to_numpy() == value for name, value in ALONE.items()])
    sizes, ids = published["bytes"].to_numpy(), published["doc_id"].to_numpy()
    languages = np.array(full["language"].to_pylist())
    order = np.argsort(uniform(seed, ids), kind="stable")
    limits = {lang: min(size, int(MOST_HELD * sizes[languages == lang].sum())) for lang in source.languages}
    mine = [order[(alone & (languages == lang))[order]] for lang in source.languages]
    candidates = np.concatenate(
        [_first(rows, sizes, SPARE * limit) for rows, limit in zip(mine, limits.values(), strict=True)]
    )
    apart = candidates[_shared_with_others(source, full.take(pa.array(candidates))) < MOST_SHARED]
    chosen = [_first(apart[languages[apart] == lang], sizes, limit) for lang, limit in limits.items()]
    return full.take(pa.array(np.sort(np.concatenate(chosen))))


def _first(rows: Ids, sizes: npt.NDArray[np.int32], size: int) -> Ids:
    """As many of the rows, from the front, as have so many bytes."""
    return rows[: int(np.searchsorted(np.cumsum(sizes[rows]), size)) + 1]


def _shared_with_others(source: Source, candidates: pa.Table) -> npt.NDArray[np.float64]:
    """How much each candidate has in common with its nearest ingested document that is none: float64[n]."""
    column, ids = TextColumn.from_arrow(candidates["text"]), candidates["doc_id"].to_numpy()
    found = np.zeros(len(ids))
    for shard in source.folder.shards:
        others = np.flatnonzero(~np.isin(shard.first_id + np.arange(shard.rows), ids))
        texts = shard.read(["text"])["text"].take(pa.array(others))
        found = np.maximum(found, most_shared(TextColumn.from_arrow(texts), column))
    return found


def read_reference(reference: Path) -> pa.Table:
    """Held-out text that lies as shards, ``shards/<language>/*.parquet``: as TEXT."""
    parts = []
    for lang, shards in list_shards(reference).items():
        for shard in shards:
            found = pq.read_table(shard.path, columns=["doc_id", "text"], partitioning=None)
            texts, n = found["text"].cast(pa.large_string()), found.num_rows
            parts.append(pa.table([found["doc_id"], texts, [lang] * n, pa.nulls(n, pa.string())], schema=TEXT))
    return pa.concat_tables(parts)


def relatives(source: Source, held: pa.Table) -> tuple[Ids, float]:
    """Ingested documents that are relatives of a held-out one, and the most that any other has in common with one."""
    column = TextColumn.from_arrow(held["text"])
    found, most = [np.zeros(0, np.int64)], 0.0
    for shard in source.folder.shards:
        shared = most_shared(column, shard.text())
        found.append(shard.first_id + np.flatnonzero(shared >= MOST_SHARED))
        most = max(most, float(shared[shared < MOST_SHARED].max(initial=0.0)))
    return np.concatenate(found), most


def write_arms(source: Source, held: pa.Table, out: Path, chosen: bool) -> dict[str, Any]:
    """Writes ``out/<arm>/shards/<language>/<language>.parquet``, weights beside the full arm's, and the held-out text.

    Args:
        source: the run.
        held: the held-out documents, as TEXT.
        out: folder.
        chosen: whether they are the run's own; ids of given ones mean nothing here.

    Returns:
        Documents and bytes held out by language, what was excluded for them, and bytes of each arm by language.

    Raises:
        ConfigError: a language without text, held out or in an arm.
    """
    excluded, most = relatives(source, held)
    gone = np.union1d(excluded, held["doc_id"].to_numpy()) if chosen else excluded
    facts: dict[str, Any] = {
        "heldout": _write(out / "heldout", held, source.languages),
        "excluded": len(excluded),
        "most_shared": most,
    }
    arms = {}
    for arm in ARMS:
        if not arm.scored:
            found = texts_of(source, arm)
            found = found.filter(pa.array(~np.isin(found["doc_id"].to_numpy(), gone)))
            arms[arm.name] = _write(out / arm.name, found, source.languages)
            if arm == FULL:
                _write_weights(source.root, out / arm.name, source.languages)
    return facts | {"arms": arms}


def weights_of(arm: Arm, folder: Path) -> Weights:
    """The weights of an arm's documents."""
    return Weights(folder=folder / "weights") if arm.scored else Weights.none()


def _write(folder: Path, documents: pa.Table, languages: Sequence[str]) -> dict[str, dict[str, int]]:
    facts = {}
    for lang, rows in _by_language(documents, languages):
        if not rows.num_rows:
            raise ConfigError(
                f"--languages: {folder.name} has no text in {lang} (allowed: languages that the run holds)"
            )
        split = pa.array(["train"] * rows.num_rows)
        path = folder / "shards" / lang / f"{lang}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(rows.drop_columns(["language"]).append_column("split", split), path, compression="zstd")
        size = int(TextColumn.from_arrow(rows["text"]).nbytes)
        facts[lang] = {"documents": rows.num_rows, "bytes": size}
    return facts


def _by_language(documents: pa.Table, languages: Sequence[str]) -> Iterator[tuple[str, pa.Table]]:
    found = np.array(documents["language"].to_pylist(), dtype=object)
    for lang in languages:
        yield lang, documents.filter(pa.array(found == lang)).combine_chunks()


def _write_weights(root: Path, folder: Path, languages: Sequence[str]) -> None:
    """The run's weights, in files of the same names as the folder's shards."""
    weights = find_weights(root)
    parts = []
    for shards in list_shards(root).values():
        for shard in shards:
            name = shard.path.relative_to(root / "shards").with_suffix("").as_posix()
            ids = pq.read_table(shard.path, columns=["doc_id"], partitioning=None)["doc_id"].to_numpy()
            parts.append((ids, weights.read(name, ids)))
    ids, values = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(ids)
    for lang in languages:
        mine = pq.read_table(folder / "shards" / lang / f"{lang}.parquet", columns=["doc_id"], partitioning=None)
        at = order[np.searchsorted(ids[order], mine["doc_id"].to_numpy())]
        path = folder / "weights" / lang / f"{lang}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"doc_id": mine["doc_id"], "weight": pa.array(values[at], pa.float32())}), path)


def repeated_share(bins: TokenBins) -> dict[str, float]:
    """For each language, the share of a text's runs of five tokens that stand elsewhere in it before: 0 to 1."""
    found = {}
    for lang, shards in bins.domains.items():
        tokens = np.concatenate([shard.read(0, shard.tokens) for shard in shards]).astype(np.uint64)
        grams = np.zeros(max(0, len(tokens) - GRAM + 1), np.uint64)
        for place in range(GRAM):  # ids below 4,096 fit five times into 64 bits
            grams = grams * np.uint64(bins.vocab_size) + tokens[place : place + len(grams)]
        found[lang] = 1 - len(np.unique(grams)) / len(grams) if len(grams) else 0.0
    return found

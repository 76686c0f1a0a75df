"""Stage `decontaminate`: benchmark items in the corpus, by n-gram overlap; documents are dropped, or sentences cut.

The index of the benchmarks' n-grams is an artefact of the run, pinned by digest: with another item the scan is
repeated. The scan keeps each item of which a document holds at least `store_share`, with that share and the place. The
decision sets the share from which an item counts, and what goes: the document, or the sentences that hold the item.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from corpus.config import StrictModel, setting
from corpus.files import file_digest, stable_hash
from corpus.inputs import InputFile, open_input, refuse_unreadable
from filters.decontaminate.benchmark_items import BenchmarkFiles, benchmark_files, read_items
from filters.decontaminate.build_index import build_index
from filters.decontaminate.find import find_items, merge_cuts
from filters.decontaminate.index import NgramConfig, NgramIndex
from pipelines.stages.base import Batch, Earlier, LocalStage, Verdict, complaint, drops_table, edits_table
from pipelines.stages.context import PrepareContext
from pipelines.stages.shard_task import Int32
from tamis.errors import ConfigError

INDEX_VERSION = 2
"""Raised when the same files and settings give another index."""
EVIDENCE = pa.schema(
    [
        pa.field("row", pa.int32(), nullable=False),
        pa.field("doc_id", pa.int64(), nullable=False),
        pa.field("benchmark", pa.string()),
        pa.field("item", pa.string()),
        pa.field("grams", pa.int32()),
        pa.field("share", pa.float32()),
        pa.field("start", pa.int32()),
        pa.field("end", pa.int32()),
        pa.field("cut_start", pa.int32()),
        pa.field("cut_end", pa.int32()),
        pa.field("view_start", pa.int32()),
        pa.field("view_end", pa.int32()),
        pa.field("first_sentence", pa.int32()),
        pa.field("last_sentence", pa.int32()),
        pa.field("bytes", pa.int32()),
    ]
)
"""For each document a row that has its `bytes` only, then a row for each run of text in which an item was found.

`start` and `end` delimit the run, `cut_start` and `cut_end` the sentences that it touches, both in the stored text;
`view_start` and `view_end` delimit the same sentences in the view. `last_sentence` is exclusive.
"""
COLUMNS = pa.schema(
    [
        pa.field("row", pa.int32(), nullable=False),
        pa.field("doc_id", pa.int64(), nullable=False),
        pa.field("contaminated_by", pa.string(), nullable=False),
        pa.field("items", pa.list_(pa.string()), nullable=False),
    ]
)
"""Documents in which items were found: the item with the largest share, and all items, as `benchmark/item`."""


class DecontaminateEvidence(StrictModel):
    """What is searched for."""

    benchmarks: tuple[BenchmarkFiles, ...] = setting(
        ..., "Globs of JSON lines of items, or mappings with paths, name and columns.", min_length=1
    )
    ngrams: NgramConfig = setting(NgramConfig(), "How long an n-gram is.")
    store_share: float = setting(
        0.1, "Items of which less is found are not kept as evidence; bounds min_share.", unit="share", ge=0, le=1
    )


class DecontaminateDecision(StrictModel):
    """What a found item costs."""

    action: Literal["document", "span"] = setting("document", "What goes: the document, or the sentences.")
    min_share: float = setting(
        0.5,
        "Share of an item's tokens found from which it counts; less drops more, by chance too.",
        unit="share",
        source="Touvron et al. 2023 (arXiv 2307.09288), A.6, has 0.2 to 0.8",
        gt=0,
        le=1,
    )
    max_removed_fraction: float = setting(
        0.8, "With action span: a document that would lose more of its bytes is dropped.", unit="share", gt=0, le=1
    )


class Decontaminate(LocalStage):
    """Looks n-grams up in the index of benchmark items; drops documents, or cuts sentences."""

    name: ClassVar[str] = "decontaminate"
    version: ClassVar[int] = 2
    paper: ClassVar[str] = "Brown et al. 2020 (arXiv 2005.14165), C; Touvron et al. 2023 (arXiv 2307.09288), A.6"
    Evidence = DecontaminateEvidence
    Decision = DecontaminateDecision
    provides: ClassVar[Mapping[str, pa.DataType]] = {"contaminated_by": pa.string()}
    evidence: DecontaminateEvidence

    @classmethod
    def check(cls, evidence: StrictModel, decision: StrictModel) -> None:
        """Refuses a `min_share` below `store_share`, from which items are kept as evidence."""
        assert isinstance(evidence, DecontaminateEvidence) and isinstance(decision, DecontaminateDecision)
        if decision.min_share < evidence.store_share:
            raise ConfigError(
                f"stages.decontaminate.min_share: found {decision.min_share}; expected at least store_share, "
                f"{evidence.store_share} (lower that as well)"
            )

    @classmethod
    def prepare(cls, evidence: StrictModel, context: PrepareContext) -> dict[str, Path]:
        """Builds the index, unless one of these files and settings is there."""
        assert isinstance(evidence, DecontaminateEvidence)
        files = _files(evidence, context.base)
        settings = evidence.model_dump(mode="json", include={"benchmarks", "ngrams"})
        content = [[f.name, f.config_index, _digest(f)] for f in files]
        folder = context.models / stable_hash([INDEX_VERSION, settings, content])
        if not folder.exists():
            with context.cluster.step("decontaminate: index"):
                build_index(read_items(evidence.benchmarks, files), evidence.ngrams).save(folder)
        return {"index": folder}

    @classmethod
    def missing(cls, evidence: StrictModel, decision: StrictModel, base: Path) -> Iterator[str]:
        """Files of items."""
        assert isinstance(evidence, DecontaminateEvidence)
        yield from complaint(lambda: _files(evidence, base))

    @cached_property
    def _index(self) -> NgramIndex:
        return NgramIndex.load(Path(self.artefacts["index"]))

    def scan(self, batch: Batch) -> pa.Table:
        """Rows of `EVIDENCE`."""
        column, items = batch.texts.column, self._index.items
        found = find_items(self._index, column, self.evidence.store_share)
        which = found.document
        rows, start, end = batch.texts.to_stored(which, found.start, found.end)
        _, cut_start, cut_end = batch.texts.to_stored(which, found.sentences_start, found.sentences_end)
        names = items.select(["benchmark", "item"]).take(pa.array(found.item))
        hits = {
            "row": rows,
            "doc_id": batch.doc_ids[which],
            "benchmark": names.column("benchmark"),
            "item": names.column("item"),
            "grams": found.grams,
            "share": found.share,
            "start": start,
            "end": end,
            "cut_start": cut_start,
            "cut_end": cut_end,
            "view_start": found.sentences_start.astype(np.int32),
            "view_end": found.sentences_end.astype(np.int32),
            "first_sentence": found.first_sentence,
            "last_sentence": found.last_sentence,
            "bytes": pa.nulls(len(found), pa.int32()),
        }
        n = len(batch.rows)
        known = {"row": batch.rows, "doc_id": batch.doc_ids, "bytes": column.lengths.astype(np.int32)}
        heads = {f.name: known[f.name] if f.name in known else pa.nulls(n, f.type) for f in EVIDENCE}
        table = pa.concat_tables([pa.table(heads, schema=EVIDENCE), pa.table(hits, schema=EVIDENCE)])
        return table.take(pa.array(np.argsort(table.column("row").to_numpy(), kind="stable")))

    def decide(
        self, evidence: pa.Table, rows: Int32, first_id: int, decision: DecontaminateDecision, earlier: Earlier
    ) -> Verdict:
        """Drops documents or cuts sentences for items of which enough was found; names the items in columns."""
        is_hit = evidence.column("item").is_valid()
        heads, hits = evidence.filter(pc.invert(is_hit)), evidence.filter(is_hit)
        hits = hits.filter(pa.array(hits.column("share").to_numpy() >= np.float32(decision.min_share)))
        if not hits.num_rows:
            return Verdict()
        columns = _items_by_document(hits)
        documents = columns.column("row").to_numpy()
        if decision.action == "document":
            return Verdict(drops_table(documents, first_id, "contaminated"), columns=columns)
        row = hits.column("row").to_numpy()
        cuts = merge_cuts(
            row.astype(np.int64), hits.column("first_sentence").to_numpy(), hits.column("last_sentence").to_numpy()
        )
        place = np.searchsorted(documents, row[cuts.lead])
        taken = hits.column("view_end").to_numpy()[cuts.last] - hits.column("view_start").to_numpy()[cuts.lead]
        removed = np.bincount(place, taken, minlength=len(documents))
        size = heads.column("bytes").to_numpy()[np.searchsorted(heads.column("row").to_numpy(), documents)]
        gone = removed > decision.max_removed_fraction * size
        stay = ~gone[place]
        lead, last = cuts.lead[stay], cuts.last[stay]
        start, end = hits.column("cut_start").take(lead), hits.column("cut_end").take(last)
        edits = edits_table(row[lead], start, end, "contaminated_span", cuts.sentences[stay])
        return Verdict(drops_table(documents[gone], first_id, "contaminated"), edits, columns)

    def facts(self, columns: Sequence[Path]) -> dict[str, Any]:
        """How many items of each benchmark were found, and where: see `benchmark_facts`."""
        tables = (pq.read_table(path, columns=["items"], partitioning=None) for path in columns)
        return benchmark_facts(self._index, (t.column("items").to_pylist() for t in tables))


def _files(evidence: DecontaminateEvidence, base: Path) -> list[InputFile]:
    where = "stages.decontaminate.benchmarks"
    files = benchmark_files(evidence.benchmarks, base, where)
    refuse_unreadable((file.uri for file in files), where)
    return files


def _digest(file: InputFile) -> str:
    """sha256 of a file's stored bytes."""
    if "://" not in file.uri:
        return file_digest(Path(file.uri))
    import hashlib
    from contextlib import closing

    digest = hashlib.sha256()
    with closing(open_input(file.uri)) as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _items_by_document(hits: pa.Table) -> pa.Table:
    """Rows of `COLUMNS`: the items of each document, the largest share first, then by name."""
    names = pc.binary_join_element_wise(hits.column("benchmark"), hits.column("item"), "/").to_pylist()
    ids, shares = hits.column("doc_id").to_pylist(), hits.column("share").to_pylist()
    found: dict[tuple[int, int], dict[str, float]] = {}
    for row, doc_id, name, share in zip(hits.column("row").to_pylist(), ids, names, shares, strict=True):
        known = found.setdefault((row, doc_id), {})
        known[name] = max(share, known.get(name, 0.0))
    ordered = [sorted(items, key=lambda name: (-items[name], name)) for items in found.values()]
    return pa.table(
        [[row for row, _ in found], [i for _, i in found], [names[0] for names in ordered], ordered], schema=COLUMNS
    )


def benchmark_facts(index: NgramIndex, shards: Any) -> dict[str, Any]:
    """Counts by benchmark, for the manifest and the report, from the names of the items in each document of each shard.

    Returns:
        `benchmarks`: name → counts: `items`; those searched for by `ngrams` or `whole`, `too_short` to be searched
        for, or `repeated` from an earlier item; `bad_lines`; items `found` in any document; `documents` that hold one.
        `templates`: n-grams left out because too many items share them.
    """
    benchmarks, items = (index.items.column(name).to_pylist() for name in ("benchmark", "item"))
    same_as = index.items.column("same_as").to_pylist()
    alike: dict[str, list[int]] = defaultdict(list)
    for row, first in enumerate(same_as):
        of = row if first is None else first
        alike[f"{benchmarks[of]}/{items[of]}"].append(row)
    found: set[str] = set()
    documents: Counter[str] = Counter()
    for shard in shards:
        for names in shard:
            found.update(names)
            documents.update({benchmarks[row] for name in names for row in alike[name]})
    hit = Counter(benchmarks[row] for name in found for row in alike[name])
    counts = {
        name: {**line, "found": hit[name], "documents": documents[name]}
        for name, line in index.about["benchmarks"].items()
    }
    return {"benchmarks": counts, "templates": index.about["templates"]}

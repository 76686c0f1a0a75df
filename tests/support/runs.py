"""A small run folder made by hand, as the pipeline would leave it: for the commands that read runs, without Spark.

Nine documents in two domains. Reasons, in pipeline order:

    0 web  a   kept; a sentence cut for quality, an address rewritten, a repeated paragraph cut
    1 web  b   exact copy of 0
    2 web  c   near copy of 3, which is dropped later for its spans: its survivor's story has two steps
    3 web  d   dropped by span_dedup
    4 web  e   kept, in domain law by predicate; shares its URL with 5
    S law  f   dropped by the heuristics, and as an exact copy of 4: the first decision wins
    S+1    g   kept; its text is full of markup and control characters
    S+2    7   kept; its source_id reads like a doc_id
    S+3    h   exact copy of 4

S is the first id of the second document shard. One record is quarantined at `b.jsonl#77`.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from corpus.files import FileEntry, Manifest, commit, write_json, write_table
from corpus.ids import first_id
from corpus.ledger import StageLedger, account, total_ledgers
from corpus.removal_counts import ShardCounts, merge
from corpus.run_folder import FORMAT_VERSION, RunFolder
from corpus.schemas import DOCUMENT, DROPS, EDITS, METADATA, PUBLISHED, QUARANTINE, URLS, WEIGHTS
from corpus.shard_state import ShardState
from corpus.view import build_view
from pipelines.run.config import PipelineConfig
from pipelines.run.curves import Curve, WeightsConfig
from pipelines.run.raise_alarm import watch_removal
from text.arrow import TextColumn

S = first_id(0, 1)
KEPT_TEXT = "磨坊主打开了闸门。点击关注我们！写信给 bob@example.org 即可。\n\n版权所有，翻印必究。"
HOSTILE = "<b>bold</b> [red]not markup[/red] \x1b[2Jgone \u202eabc</script>"
TEXTS = (
    (KEPT_TEXT, KEPT_TEXT, "near one two three", "near one two four", "A law. " * 3),
    ("A law. " * 3, HOSTILE, "seven", "A law. " * 3),
)
NAMES = (("a", "b", "c", "d", "e"), ("f", "g", "7", "h"))
URL = "https://example.org/磨坊?x=1"
DOMAINS = ("web", "law")


def span(part: str, text: str = KEPT_TEXT) -> tuple[int, int]:
    """Byte offsets of a part of a text."""
    start = text.encode().index(part.encode())
    return start, start + len(part.encode())


BAD, ADDRESS, NOTICE = span("点击关注我们！"), span("bob@example.org"), span("\n\n版权所有，翻印必究。")


def write_run(root: Path) -> Path:
    """The run of the module's docstring."""
    ingest = write_ingest(root, TEXTS, NAMES)
    run = RunFolder(root)
    chain = [
        decision(root, "eligibility", {0: {"columns": {"row": [4], "domain": ["law"]}}}),
        decision(
            root,
            "exact_dedup",
            {
                0: {"drops": [(1, 1, "exact_duplicate", 0, 1.0)], "columns": {"row": [0], "exact_copies": [2]}},
                1: {"drops": [(0, S, "exact_duplicate", 4, 1.0), (3, S + 3, "exact_duplicate", 4, 1.0)]},
            },
            {"row": [0, 1], "low": [-(1 << 62), 5], "high": [1, 2]},
        ),
        decision(root, "heuristic_filter", {1: {"drops": [(0, S, "too_short", None, None)]}}),
        decision(
            root,
            "sentence_quality",
            {
                0: {
                    "edits": [(0, *BAD, "low_quality_sentence", None, 1), (0, *ADDRESS, "email", "<EMAIL>", 0)],
                    "columns": {"row": [0, 4], "quality": [0.25, 0.75]},
                }
            },
        ),
        decision(
            root,
            "near_dedup",
            {
                0: {
                    "drops": [(2, 2, "near_duplicate", 3, 0.8125)],
                    "columns": {"row": [2, 3], "component_id": [2, 2], "component_size": [2, 2], "near_copies": [0, 1]},
                    "edges": {"row": [2], "other": [3], "similarity": [0.8125]},
                }
            },
            {"row": [0, 2], "signature": [b"s" * 64, b"t" * 64]},
        ),
        decision(
            root,
            "span_dedup",
            {
                0: {
                    "drops": [(3, 3, "mostly_repeated_spans", None, None)],
                    "edits": [(0, *NOTICE, "repeated_paragraph", None, 1)],
                }
            },
        ),
        decision(root, "score", {}),
    ]
    state = [{"stage": n, "evidence": e, "decision": d, "seconds": 1.5} for n, e, d in chain]
    run.write_state({"stages": state, "weights": "curve"})
    _publish(run, _account(run, ingest))
    return root


def write_ingest(root: Path, texts: Any, names: Any) -> Manifest:
    """Document shards, URLs and quarantine of one shard a domain."""
    folder, files = root / "ingest", []
    for number, (part, ids, domain) in enumerate(zip(texts, names, DOMAINS, strict=False)):
        n = len(part)
        size = [len(t.encode()) for t in part]
        urls = [URL if (number, row) in ((0, 4), (1, 0)) else None for row in range(n)]
        columns = [
            part,
            size,
            [3] * n,
            ids,
            urls,
            ["<src>"] * n,
            ["zh"] * n,
            [None] * n,
            [None] * n,
            ["a.jsonl"] * n,
            [100 * i for i in range(n)],
            [90] * n,
        ]
        arrays = [pa.array(values, field.type) for values, field in zip(columns, DOCUMENT, strict=True)]
        table = pa.Table.from_arrays(arrays, schema=DOCUMENT)
        info = {"domain": domain, "text_bytes": sum(size), "sentences": 3 * n}
        files += [
            write_table(folder, f"{kind}-{number}", t, kind=kind, shard=number, info=info)
            for kind, t in (("documents", table), ("urls", table.select(URLS.names).cast(URLS)))
        ]
    bad = {"domain": "web", "file": "b.jsonl", "offset": 77, "length": 9, "reason": "bad_utf8", "detail": "byte 0xff"}
    quarantine = pa.Table.from_pylist([bad], QUARANTINE)
    files.append(write_table(folder, "quarantine", quarantine, kind="quarantine"))
    documents = sum(f.rows for f in files if f.table == "documents")
    info_sum = {k: sum(f.info[k] for f in files if f.table == "documents") for k in ("text_bytes", "sentences")}
    body = {
        "snapshot": 0,
        "identity": "i",
        "documents": documents,
        "records": documents + 1,
        "not_sampled": 0,
        "skipped": 0,
        "source_bytes": 5_000,
        "quarantined": {"bad_utf8": 1},
        **info_sum,
        "inputs": [{"name": "b.jsonl", "records": documents + 1, "quarantined": {"bad_utf8": 1}}],
    }
    root.mkdir(parents=True, exist_ok=True)
    write_json(root / "run.json", {"format_version": FORMAT_VERSION, "pipeline": {"name": "small <run>"}, "base": "."})
    return commit(folder, body, files)


def decision(
    root: Path, stage: str, shards: dict[int, dict[str, Any]], evidence: dict[str, list[Any]] | None = None
) -> tuple[str, str | None, str]:
    """Commits a stage's decision (and evidence, of shard 0); returns (stage, evidence folder, decision folder)."""
    folder = root / "stages" / stage
    files: list[FileEntry] = []
    for number, tables in shards.items():
        for kind, rows in tables.items():
            if kind in ("drops", "edits"):
                schema = DROPS if kind == "drops" else EDITS
                table = pa.Table.from_pylist([dict(zip(schema.names, row, strict=True)) for row in rows], schema)
            else:
                table = _with_ids(rows, first_id(0, number))
            files.append(write_table(folder / "decision" / "d", f"{kind}-{number}", table, kind=kind, shard=number))
    commit(folder / "decision" / "d", {"key": stage, "config": {}, "facts": {}}, files)
    if evidence is not None:
        entry = write_table(folder / "evidence" / "e", "000000", _with_ids(evidence, 0), kind="evidence", shard=0)
        commit(folder / "evidence" / "e", {"key": stage}, [entry])
    return stage, None if evidence is None else f"stages/{stage}/evidence/e", f"stages/{stage}/decision/d"


def _with_ids(columns: dict[str, list[Any]], first: int) -> pa.Table:
    rows = np.array(columns["row"], np.int32)
    ids = pa.array(first + rows.astype(np.int64))
    return pa.table({"row": rows, "doc_id": ids, **{k: v for k, v in columns.items() if k != "row"}})


def _account(run: RunFolder, ingest: Manifest) -> list[ShardState]:
    """Writes the ledger with the pipeline's own arithmetic; returns the final states."""
    states = [ShardState.fresh(s.rows) for s in run.shards]
    counts = [
        ShardCounts(np.full(s.rows, s.domain), s.read(["source"]).column("source"), s.lengths()[0]) for s in run.shards
    ]
    stages = []
    for name, manifest in run.chain():
        parts: list[StageLedger] = []
        for i, shard in enumerate(run.shards):
            drops, edits = (manifest.read(kind, shard.number) for kind in ("drops", "edits"))
            part, after = account(name, states[i], drops, edits, *shard.lengths())
            counts[i].add(name, states[i], after)
            states[i] = after
            parts.append(part)
        total = total_ledgers(name, parts)
        total.seconds = 1.5
        stages.append(asdict(total))
    keys = ("records", "documents", "not_sampled", "skipped", "source_bytes", "text_bytes", "sentences")
    line = {"documents_in": 4, "documents_kept": 1, "bytes_in": 4, "bytes_kept": 1}
    body = {"ingest": {k: ingest.body[k] for k in keys}, "stages": stages, "quarantined": ingest.body["quarantined"]}
    write_json(run.root / "ledger.json", {**body, "domains": {"law": line, "web": line}})
    names = [name for name, _ in run.chain()]
    removal = merge((c.table() for c in counts), names)
    commit(run.root / "accounts", {}, [write_table(run.root / "accounts", "removal", removal, kind="removal")])
    watch_removal(run, PipelineConfig(name="small", stages={name: {} for name in names}), names)
    return states


def _publish(run: RunFolder, states: list[ShardState]) -> None:
    for shard, state, domain in zip(run.shards, states, DOMAINS, strict=True):
        rows = np.flatnonzero(state.alive).astype(np.int32)
        stored = shard.read(["text", *METADATA]).take(pa.array(rows))
        texts = build_view(TextColumn.from_arrow(shard.read(["text"]).column("text")), state.edits, rows).column
        n = len(rows)
        quality = [0.25, 0.75] if shard.number == 0 else [None] * n
        values: dict[str, Any] = {
            "doc_id": shard.first_id + rows.astype(np.int64),
            "domain": [domain] * n,
            "split": ["train"] * n,
            "text": texts.to_arrow().cast(pa.string()),
            "bytes": texts.lengths.astype(np.int32),
            "sentences": [1] * n,
            "stored_bytes": [1] * n,
            **{k: stored.column(k) for k in METADATA},
            "quality": quality,
            "frequency": [2, 40][:n],
        }
        arrays = [_column(values.get(f.name, [None] * n), f.type) for f in PUBLISHED]
        table = pa.Table.from_arrays(arrays, schema=PUBLISHED)
        weights = pa.table({"doc_id": values["doc_id"], "weight": pa.array([1.5] * n, pa.float32())}, schema=WEIGHTS)
        for folder, kind, rows_of in (("shards", "published", table), ("weights/curve", "weights", weights)):
            entry = write_table(
                run.root / folder, f"{domain}-{shard.number}", rows_of, kind=kind, info={"domain": domain}
            )
            target = f"{domain}-{shard.number}.parquet"
            (run.root / folder / entry.path).rename(run.root / folder / target)
    for folder, kind in (("shards", "published"), ("weights/curve", "weights")):
        paths = sorted((run.root / folder).glob("*.parquet"))
        entries = [FileEntry(kind, i, p.name, 0, 0, "", {"domain": p.name.split("-")[0]}) for i, p in enumerate(paths)]
        config = WeightsConfig(domains={"web": Curve(cap=3)}).model_dump(mode="json")
        commit(run.root / folder, {"key": kind, "documents": 4, "config": config}, entries)


def _column(values: Any, kind: pa.DataType) -> pa.Array | pa.ChunkedArray:
    return values.cast(kind) if isinstance(values, pa.Array | pa.ChunkedArray) else pa.array(values, kind)


def write_empty_run(root: Path) -> Path:
    """A run over input in which nothing was found, its stages done."""
    ingest = write_ingest(root, (), ())
    run = RunFolder(root)
    chain = [decision(root, name, {}) for name in ("exact_dedup", "near_dedup")]
    run.write_state({"stages": [{"stage": n, "evidence": e, "decision": d, "seconds": 0.0} for n, e, d in chain]})
    _account(run, ingest)
    ledger = json.loads((root / "ledger.json").read_text("utf-8"))
    write_json(root / "ledger.json", {**ledger, "domains": {}})
    return root

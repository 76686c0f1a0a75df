"""`tamis report --card`: a dataset card of what a run published, as Markdown with Hugging Face's front matter.

What it says is counted in the run: sources, licences, languages, what was removed and why, the settings. What only
people know (why this data, for whom, who answers for it) stands there as a line to fill in.

Source: Hugging Face's dataset card template and metadata specification; Gebru et al. 2021, "Datasheets for Datasets".
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import yaml

from cli.inspect.stats import reason_rows
from cli.present import share, size
from cli.report.grouped import UNKNOWN, grouped, language_of
from corpus.files import load_manifest
from corpus.run_folder import RunFolder
from corpus.schemas import PUBLISHED
from tamis.errors import TamisError

ROWS_SHOWN = 100
_SIZES = ("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M", "100M<n<1B", "n>1B")
"""By the number of digits, from up to three to ten and more."""
Line = tuple[str, ...]


@dataclass
class Counts:
    """Documents and bytes published: by (domain, source, licence), by language, by split.

    The language is the one identified, else as the record says.
    """

    sources: dict[Line, Counter[str]] = field(default_factory=dict)
    languages: dict[Line, Counter[str]] = field(default_factory=dict)
    splits: dict[Line, Counter[str]] = field(default_factory=dict)

    def total(self) -> Counter[str]:
        """Documents and bytes of all splits together."""
        return sum(self.splits.values(), Counter())


def write_card(run: RunFolder, out: Path) -> Path:
    """Writes the card of a run, and the folder above it; returns `out`.

    Raises:
        TamisError: the run has published nothing yet.
    """
    made, ledger, counts = run.run_info(), run.ledger(), count(run)
    name = made["pipeline"]["name"]
    parts = [_front_matter(name, counts), f"# {_text(name)}\n", _summary(ledger, counts)]
    parts += [_sources(counts), _languages(counts), _removed(ledger), _rows(run), _settings(made), _to_fill_in()]
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text("\n".join(parts), "utf-8")
    return out


def count(run: RunFolder) -> Counts:
    """Counts what the run published, file by file, in narrow columns.

    Raises:
        TamisError: nothing is published yet.
    """
    manifest = load_manifest(run.root / "shards")
    if manifest is None:
        raise TamisError(f"{run.root} has published no shards yet; a card describes what is published")
    found = Counts()
    for entry in manifest.files:
        columns = ["domain", "source", "licence", "language", "lang", "split", "bytes"]
        table = pq.read_table(manifest.folder / entry.path, columns=columns, partitioning=None)
        for into, keys in (
            (found.sources, [table.column(name) for name in ("domain", "source", "licence")]),
            (found.languages, [language_of(table)]),
            (found.splits, [table.column("split")]),
        ):
            for key, documents, total in grouped(table, keys):
                into.setdefault(key, Counter()).update(documents=documents, bytes=total)
    return found


def _front_matter(name: str, counts: Counts) -> str:
    """YAML between two lines of dashes, as the Hub reads it: language and licence codes in lower case."""
    documents = counts.total()["documents"]
    domains = sorted({line[0] for line in counts.sources})
    licences = sorted({line[2] for line in counts.sources})
    languages = [line[0] for line, _ in _largest(counts.languages) if re.fullmatch(r"[a-z]{2,3}", line[0])]
    body = {
        "pretty_name": name,
        "language": languages,
        "license": _licence_code(licences[0]) if len(licences) == 1 else "other",
        "size_categories": [_SIZES[min(max(len(str(documents)), 3), 10) - 3]],
        "task_categories": ["text-generation"],
        "tags": ["pretraining", "tamis"],
        "configs": [
            {"config_name": d, "data_files": [{"split": "train", "path": f"shards/{d}/*.parquet"}]} for d in domains
        ],
    }
    return f"---\n{yaml.safe_dump(body, allow_unicode=True, sort_keys=False)}---\n"


def _licence_code(licence: str) -> str:
    return "unknown" if licence == UNKNOWN else licence.lower().replace(" ", "-")


def _summary(ledger: dict[str, Any], counts: Counts) -> str:
    ingest, total = ledger["ingest"], counts.total()
    heldout = counts.splits.get(("heldout",), Counter())
    return (
        f"{total['documents']:,} documents, {size(total['bytes'])} of text, of {ingest['documents']:,} documents and "
        f"{size(ingest['text_bytes'])} that were read ({share(total['bytes'], ingest['text_bytes']):.1f} % of the text "
        f"is left). {heldout['documents']:,} documents ({size(heldout['bytes'])}) carry `split: heldout`: whole "
        "families of near copies, set apart for evaluation; do not train on them.\n"
    )


def _sources(counts: Counts) -> str:
    rows = [[*line, f"{c['documents']:,}", size(c["bytes"])] for line, c in _largest(counts.sources)[:ROWS_SHOWN]]
    more = len(counts.sources) - len(rows)
    note = f"\n{more:,} smaller lines are not shown.\n" if more else ""
    licences: Counter[str] = Counter()
    for line, c in counts.sources.items():
        licences[line[2]] += c["bytes"]
    unknown = share(licences[UNKNOWN], counts.total()["bytes"])
    warning = f"\nNo licence is known for {unknown:.1f} % of the text.\n" if unknown else ""
    table = _table(["domain", "source", "licence", "documents", "text"], rows)
    return f"## Sources and licences\n\n{table}{note}{warning}"


def _languages(counts: Counts) -> str:
    total = counts.total()["bytes"]
    rows = [
        [line[0], f"{c['documents']:,}", size(c["bytes"]), f"{share(c['bytes'], total):.2f} %"]
        for line, c in _largest(counts.languages)[:ROWS_SHOWN]
    ]
    return f"## Languages\n\n{_table(['language', 'documents', 'text', 'share'], rows)}"


def _removed(ledger: dict[str, Any]) -> str:
    text = ledger["ingest"]["text_bytes"]
    stages = [
        [s["name"], f"{s['documents_kept']:,}", size(s["bytes_kept"]), f"{share(s['bytes_kept'], text):.2f} %"]
        for s in ledger["stages"]
    ]
    reasons = [
        [
            r.stage,
            r.reason,
            "" if r.documents is None else f"{r.documents:,}",
            size(r.bytes),
            f"{share(r.bytes, text):.3f} %",
        ]
        for r in reason_rows(ledger)
    ]
    quarantined = [[reason, f"{n:,}"] for reason, n in sorted(ledger["quarantined"].items())]
    parts = [
        "## What was removed, and why\n",
        "What is left behind each stage, of the text that was read:\n",
        _table(["stage", "documents left", "text left", "of raw"], stages),
        "By reason (`cut:` marks spans taken out of documents that stay):\n",
        _table(["stage", "reason", "documents", "text", "of raw"], reasons),
        "Raw records that never became documents:\n",
        _table(["reason", "records"], quarantined) if quarantined else "none\n",
    ]
    return "\n".join(parts)


def _rows(run: RunFolder) -> str:
    """The columns, those of stages of one's own with what they say."""
    manifest = load_manifest(run.root / "shards")
    paths = manifest.paths("published") if manifest is not None else []
    own = [f for f in (pq.read_schema(paths[0]) if paths else PUBLISHED) if f.name not in PUBLISHED.names]
    told = [*((f, "") for f in PUBLISHED), *((f, (f.metadata or {}).get(b"description", b"").decode()) for f in own)]
    rows = [[f"`{f.name}`", f"{f.type}{'?' if f.nullable else ''}", *([what] if own else [])] for f, what in told]
    return f"## Columns\n\n{_table(['column', 'type', *(['meaning'] if own else [])], rows)}"


def _settings(made: dict[str, Any]) -> str:
    text = yaml.safe_dump(made["pipeline"], allow_unicode=True, sort_keys=False, default_flow_style=None, width=110)
    fence = "`" * max(3, 1 + max((len(m) for m in re.findall("`+", text)), default=0))
    by = f"Tamis {made['tamis_version']}" if "tamis_version" in made else "Tamis"
    return f"## How it was made\n\nBy {by}, with these settings:\n\n{fence}yaml\n{text}{fence}\n"


def _to_fill_in() -> str:
    return (
        "## To be filled in\n\n- Why this data set was made, and for whom:\n"
        "- Who answers for it, and how to have a text taken out:\n"
        "- What it must not be used for:\n- What is known to be wrong with it:\n"
    )


def _largest(counts: dict[Line, Counter[str]]) -> list[tuple[Line, Counter[str]]]:
    return sorted(counts.items(), key=lambda item: (-item[1]["bytes"], item[0]))


def _table(header: list[str], rows: list[list[str]]) -> str:
    lines = [f"| {' | '.join(header)} |", "|" + "---|" * len(header)]
    lines += [f"| {' | '.join(_text(cell) for cell in row)} |" for row in rows]
    return "\n".join([*lines, ""])


def _text(cell: str) -> str:
    """A cell's text with what would end the cell, or be read as HTML, escaped."""
    line = " ".join(cell.split())
    return line.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")

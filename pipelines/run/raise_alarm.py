"""Writes `RUN/removal.json`, what each stage dropped of each domain and source, and raises the alarm.

The counts come from `pipelines.run.ledger`. Here their sums are checked against the funnel, the largest losses are
written for people, and all are judged (`pipelines.run.alarm`). Cost: one narrow file is read, a row a distinct source.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

from corpus.files import load_manifest, write_json
from corpus.removal_counts import folded, lines, shown
from corpus.removal_line import RemovalLine
from corpus.run_folder import RunFolder
from pipelines.run.alarm import Alarm, AlarmConfig, alarms, sentence
from tamis.errors import TamisError
from tamis.version import RECORD

if TYPE_CHECKING:
    from pipelines.run.config import PipelineConfig
    from pipelines.stages.base import Stage

ALARMS_NAMED = 100
"""Alarms that `removal.json` lists; it counts all."""


def watch_removal(run: RunFolder, config: PipelineConfig, stages: Sequence[str]) -> None:
    """Writes `removal.json`, from the ledger; raises the alarm if a stage dropped too much of a domain or a source.

    Raises:
        TamisError: the alarm; or the counts do not add up to the ledger's.
    """
    manifest = load_manifest(run.root / "accounts")
    assert manifest is not None
    table = pq.read_table(manifest.paths("removal")[0], partitioning=None)
    funnel: dict[str, dict[str, Any]] = {s["name"]: s for s in run.ledger()["stages"]}
    domains = list(lines(folded(table), stages))
    sources = shown(table, stages, config.alarm.min_documents)
    for found in (domains, sources):
        _check_sums(funnel, found)
    kinds = {name: config.kind(name) for name in stages}
    raised = alarms(table, list(kinds.values()), config.alarm_of)
    special = [domain for domain, settings in config.domains.items() if "alarm" in settings]
    body = {
        **RECORD,
        "stages": list(stages),
        "domains": [_domain_json(line) for line in domains],
        "sources": [asdict(line) for line in sources],
        "sources_total": table.num_rows,
        "alarm": {
            "default": _limits(config.alarm, kinds),
            "domains": {domain: _limits(config.alarm_of(domain), kinds) for domain in special},
            "raised": [_alarm_json(a) for a in raised[:ALARMS_NAMED]],
            "raised_total": len(raised),
        },
    }
    write_json(run.root / "removal.json", body)
    if raised:
        first = raised[0].line
        taken = funnel[first.stage]["documents_dropped"] or funnel[first.stage]["bytes_dropped"]
        reason = max(sorted(taken), key=lambda name: taken[name])
        of_domain = "max_removed_fraction" in (config.domains.get(first.domain, {}).get("alarm") or {})
        raise TamisError(sentence(run.root, raised, reason, of_domain, kinds[first.stage].shown_by))


def _limits(alarm: AlarmConfig, kinds: Mapping[str, type[Stage]]) -> dict[str, Any]:
    """An alarm's config as JSON, with the watched stages listed."""
    return {**alarm.model_dump(mode="json"), "stages": [name for name, kind in kinds.items() if alarm.watches(kind)]}


def _check_sums(funnel: dict[str, dict[str, Any]], found: Iterable[RemovalLine]) -> None:
    """The lines of a stage add up to its line in the funnel."""
    sums = {name: [0, 0, 0, 0] for name in funnel}
    for line in found:
        counts = (line.documents_in, line.documents_dropped, line.bytes_in, line.bytes_dropped)
        sums[line.stage] = [a + b for a, b in zip(sums[line.stage], counts, strict=True)]
    for name, stage in funnel.items():
        dropped = sum(stage["documents_dropped"].values()), sum(stage["bytes_dropped"].values())
        if sums[name] != [stage["documents_in"], dropped[0], stage["bytes_in"], dropped[1]]:
            raise TamisError(
                f"what {name} took by domain and source is not what it took in the ledger; please report this"
            )


def _domain_json(line: RemovalLine) -> dict[str, Any]:
    return {key: value for key, value in asdict(line).items() if key != "source"}


def _alarm_json(alarm: Alarm) -> dict[str, Any]:
    line = asdict(alarm.line) if alarm.of == "source" else _domain_json(alarm.line)
    return {"of": alarm.of, **line, "limit": alarm.limit}

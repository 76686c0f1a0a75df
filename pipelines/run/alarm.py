"""The alarm: a run stops before its shards are written if a stage dropped nearly all of a domain or of a source.

A source that all but vanishes in document dedup is almost always an error: a template, a licence or a header was taken
for the text. No total shows it. The alarm reads committed counts after the stages that were asked for, so that all that
explains the loss can be looked at, and raising a limit repeats no stage.

Source of the defaults: marin-community/marin #6854, an audit of unverified MinHash over 113 sources: median 76 % of a
source removed, 15 sources over 95 %, one wiped out; from 95 % on, the sources were distinct books, records and code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpus.config import StrictModel, setting
from corpus.removal_counts import column, folded, lines, removed_fractions
from corpus.removal_line import RemovalLine
from pipelines.stages.base import Stage


class AlarmConfig(StrictModel):
    """When a loss is no longer believed.

    Exact copies are not watched unless asked for: equal text cannot be a mistaken match, and a mirror, a feed that is
    crawled daily or a second dump of the same pages rightly loses nearly everything.
    """

    max_removed_fraction: float = setting(
        0.95,
        "Share of the documents or of the text that one stage may take of a domain or source; 1 is no alarm.",
        unit="share",
        source="marin-community/marin #6854",
        gt=0,
        le=1,
    )
    min_documents: int = setting(
        1_000, "Smaller domains and sources raise no alarm: a few documents may all be copies.", unit="documents", ge=1
    )
    stages: tuple[str, ...] | None = setting(
        None, "The stages that are watched; null is those that compare texts: near_dedup and span_dedup."
    )

    def watches(self, stage: type[Stage]) -> bool:
        """Whether what a stage takes is judged."""
        return stage.watched if self.stages is None else stage.name in self.stages


@dataclass(frozen=True, slots=True)
class Alarm:
    """A loss over its limit: `of` a "domain" or a "source", with its counts and the fraction that was allowed."""

    of: str
    line: RemovalLine
    limit: float


def alarms(table: pa.Table, stages: Sequence[type[Stage]], config_of: Callable[[str], AlarmConfig]) -> list[Alarm]:
    """Losses over the limit of their domain, most documents first, in merged counts (`corpus.removal_counts`)."""
    domains = folded(table)
    configs = {name: config_of(name) for name in domains.column("domain").to_pylist()}
    found = []
    for stage in stages:
        whole = dict(zip(configs, column(domains, stage.name, "documents_in").tolist(), strict=True))
        alone = column(table, stage.name, "documents_in") == _of_domain(table, whole)  # the only source of its domain
        for of, rows, wanted in (("domain", domains, np.ones(domains.num_rows, np.bool_)), ("source", table, ~alone)):
            over = rows.filter(pa.array(wanted & _over(rows, stage, configs)))
            found += [Alarm(of, x, configs[x.domain].max_removed_fraction) for x in lines(over, [stage.name])]
    return sorted(found, key=lambda a: -a.line.documents_dropped)


def _over(table: pa.Table, stage: type[Stage], configs: dict[str, AlarmConfig]) -> npt.NDArray[np.bool_]:
    """Which rows lost more in a stage than the config of their domain allows."""
    watched = _of_domain(table, {name: c.watches(stage) for name, c in configs.items()})
    enough = column(table, stage.name, "documents_in") >= _of_domain(
        table, {n: c.min_documents for n, c in configs.items()}
    )
    limit = _of_domain(table, {name: c.max_removed_fraction for name, c in configs.items()})
    return watched & enough & (removed_fractions(table, stage.name) > limit)


def _of_domain(table: pa.Table, by_domain: dict[str, bool] | dict[str, int] | dict[str, float]) -> npt.NDArray[Any]:
    """For each row the value of its domain."""
    codes = table.column("domain").combine_chunks().dictionary_encode()
    values = [by_domain[name] for name in codes.dictionary.to_pylist()]
    return np.array(values)[codes.indices.to_numpy()] if values else np.zeros(0, np.bool_)


def sentence(run: Path, found: Sequence[Alarm], reason: str, of_domain: bool, command: str | None) -> str:
    """The error message of the alarm: the first loss in full, and how many more there are.

    `command` shows what the stage of the first found (`Stage.shown_by`); `reason` is the commonest in it, for `tamis
    sample`; `of_domain` says that its domain has a limit of its own.
    """
    line, limit = found[0].line, found[0].limit
    what = f"domain {line.domain!r}"
    if found[0].of == "source":
        what = f"source {line.source!r} in {what}" if line.source is not None else f"{what} without a source"
    more = f", and {len(found) - 1:,} more are over theirs" if len(found) > 1 else ""
    shown = f"`{command} {run}`, " if command else ""
    key = f"domains.{line.domain}.alarm.max_removed_fraction" if of_domain else "alarm.max_removed_fraction"
    return (
        f"the alarm stopped the run before write_shards: {line.stage} took {line.documents_dropped:,} of "
        f"{line.documents_in:,} documents and {line.bytes_dropped:,} of {line.bytes_in:,} bytes of {what}, which is "
        f"over the limit of {100 * limit:g} %{more}; look with `tamis stats {run} --by {found[0].of}`, {shown}"
        f"and `tamis sample {run} --stage {line.stage} --reason {reason}`; if it is meant, raise {key} and run again: "
        "no stage is repeated"
    )

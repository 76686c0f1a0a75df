"""Stage `eligibility`: takedown lists, and domains by predicate. It reads metadata, never text.

It comes before `exact_dedup`, so that no copy is dropped for one that may not be used.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import field_validator

from corpus.config import Refused, StrictModel, setting
from corpus.inputs import named_file
from corpus.urls import places_above, url_key
from pipelines.stages.base import Batch, LocalStage, Verdict, complaint, drops_table
from pipelines.stages.context import PrepareContext
from pipelines.stages.shard_task import Int32

_FIELDS = ("source_id", "url", "source", "lang", "licence")


class Assignment(StrictModel):
    """Documents of some inputs that go to another domain."""

    domain: str = setting(..., "The domain that they go to.", pattern=r"^[a-z0-9][a-z0-9_\-]{0,63}$")
    source_domains: tuple[str, ...] = setting((), "Input domains to look at; empty is all.")
    when: dict[str, str | tuple[str, ...]] = setting(
        ...,
        "Field (source_id, url, source, lang or licence) to its allowed values, or to a regular expression between"
        " slashes; all must hold.",
    )

    @field_validator("when")
    @classmethod
    def _known_fields(cls, value: dict[str, Any]) -> dict[str, Any]:
        for name, wanted in value.items():
            if name not in _FIELDS:
                raise ValueError(f"fields among {', '.join(_FIELDS)}, not {name!r}")
            if isinstance(wanted, str) and wanted.startswith("/"):
                try:
                    pc.match_substring_regex(pa.array([""]), _pattern(wanted))
                except pa.ArrowInvalid as error:
                    raise Refused(name, wanted, f"a regular expression (RE2: {error})") from None
        return value


class EligibilityEvidence(StrictModel):
    """What the scan looks for."""

    url_lists: tuple[str, ...] = setting(
        (),
        "Takedown lists: files with a URL a line, or `||host`, `||host/folder` for all below it; # starts a comment.",
    )
    id_lists: tuple[str, ...] = setting((), "Takedown lists: files with a source_id a line.")
    assign: tuple[Assignment, ...] = setting((), "Domains by predicate; the first that holds wins.")


class Eligibility(LocalStage):
    """Drops documents that must not be used; assigns others to another domain."""

    name: ClassVar[str] = "eligibility"
    Evidence = EligibilityEvidence
    reads: ClassVar[tuple[str, ...]] = _FIELDS
    provides: ClassVar[Mapping[str, pa.DataType]] = {"domain": pa.string()}
    comes_first: ClassVar[bool] = True
    assigns_domains: ClassVar[bool] = True
    evidence: EligibilityEvidence

    @classmethod
    def prepare(cls, evidence: StrictModel, context: PrepareContext) -> dict[str, Path]:
        """Finds the list files; their digests enter the hash."""
        assert isinstance(evidence, EligibilityEvidence)
        lists = _list_files(evidence)
        return {key: named_file(context.base, name, where) for key, (name, where) in lists.items()}

    @classmethod
    def missing(cls, evidence: StrictModel, decision: StrictModel, base: Path) -> Iterator[str]:
        """Lists that are not there."""
        assert isinstance(evidence, EligibilityEvidence)
        for name, where in _list_files(evidence).values():
            yield from complaint(partial(named_file, base, name, where))

    @cached_property
    def _lists(self) -> dict[str, frozenset[str]]:
        lists: dict[str, set[str]] = {"url": set(), "host": set(), "id": set()}
        for key, path in self.artefacts.items():
            for line in Path(path).read_text("utf-8").splitlines():
                entry = line.strip()
                if not entry or entry.startswith("#"):
                    continue
                if key.startswith("id"):
                    lists["id"].add(entry)
                elif entry.startswith("||"):
                    lists["host"].add(url_key(entry[2:].rstrip("^/")))
                else:
                    lists["url"].add(url_key(entry))
        return {k: frozenset(v) for k, v in lists.items()}

    def scan(self, batch: Batch) -> pa.Table:
        """One row a document: `listed` (null, "url_list" or "id_list") and `domain` (null if it stays in its own)."""
        urls = batch.metadata.column("url").to_pylist()
        lists = self._lists
        listed: list[str | None] = [None] * len(batch.rows)
        if lists["url"] or lists["host"]:
            listed = ["url_list" if u and self._url_listed(u) else None for u in urls]
        if lists["id"]:
            names = batch.metadata.column("source_id").to_pylist()
            listed = ["id_list" if i in lists["id"] else found for i, found in zip(names, listed, strict=True)]
        domain = self._assigned_domains(batch)
        return batch.table(listed=pa.array(listed, pa.string()), domain=pa.array(domain, pa.string()))

    def _url_listed(self, url: str) -> bool:
        key = url_key(url)
        below = self._lists["host"]
        return key in self._lists["url"] or (bool(below) and any(place in below for place in places_above(key)))

    def _assigned_domains(self, batch: Batch) -> list[str | None]:
        domain = np.full(len(batch.rows), None, dtype=object)
        for rule in reversed(self.evidence.assign):
            if rule.source_domains and batch.domain not in rule.source_domains:
                continue
            holds = np.ones(len(batch.rows), np.bool_)
            for name, wanted in rule.when.items():
                column = batch.metadata.column(name)
                if isinstance(wanted, str) and wanted.startswith("/"):
                    hit = pc.match_substring_regex(column, _pattern(wanted))
                else:
                    values = [wanted] if isinstance(wanted, str) else list(wanted)
                    hit = pc.is_in(column, pa.array(values, pa.string()))
                holds &= pc.fill_null(hit, False).to_numpy(zero_copy_only=False)
            domain[holds] = rule.domain
        return [d if d != batch.domain else None for d in domain.tolist()]

    def decide(self, evidence: pa.Table, rows: Int32, first_id: int, decision: Any, earlier: Any) -> Verdict:
        """Drops listed documents; leaves the new domain of those that were assigned to one."""
        listed = evidence.filter(pc.is_valid(evidence.column("listed")))
        drops = drops_table(listed.column("row").to_numpy(), first_id, listed.column("listed").combine_chunks())
        assigned = evidence.filter(pc.is_valid(evidence.column("domain"))).select(["row", "doc_id", "domain"])
        return Verdict(drops=drops, columns=assigned if assigned.num_rows else None)


def _list_files(evidence: EligibilityEvidence) -> dict[str, tuple[str, str]]:
    """The takedown lists: artefact → the file's name, its key."""
    named = {"url": evidence.url_lists, "id": evidence.id_lists}
    return {
        f"{kind}_{i:03d}": (name, f"stages.eligibility.{kind}_lists")
        for kind, names in named.items()
        for i, name in enumerate(names)
    }


def _pattern(wanted: str) -> str:
    """What stands between the slashes; a ValueError where the last is missing."""
    if len(wanted) < 2 or not wanted.endswith("/"):
        raise ValueError(f"a regular expression between two slashes, not {wanted!r}")
    return wanted[1:-1]

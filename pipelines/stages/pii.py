"""Stage `pii`: finds personal data, counts it, and replaces it by a placeholder that says what stood there.

Evidence is where and which kind: offsets into the stored text, never the text. The decision says which kinds are
replaced, and by what; a kind set to null stays, and is still counted. A rewrite removes nothing: the ledger counts its
bytes as signed `rewritten`.

Its place is right before `span_dedup`: behind the stages that drop documents, so that no text is scanned in vain;
before spans are cut, so that no number is cut in two and half of it published; and so that spans are compared as they
will be published: two notices that differ in an address alone are one notice twice. Near-duplicates are compared by the
stored text (`near_dedup.view: stored`), which no rewrite changes. A match that reaches over a cut span replaces the cut
as well.

The stored text keeps what was replaced: document shards are as private as the crawl. Commands that show stored text
mask it unless asked not to (`cli.inspect.masking`). Only `text` is searched, not the URL or other columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

import numpy as np
import pyarrow as pa
from pydantic import Field

from corpus.config import StrictModel, setting
from filters.pii.find import KINDS, find
from pipelines.stages.base import Batch, Earlier, LocalStage, Verdict, edits_table
from pipelines.stages.shard_task import Int32

Placeholder = Annotated[str, Field(min_length=1, max_length=32, pattern=r"^[A-Za-z_<>\[\]{}()|]+$")] | None
"""What stands for a match; null leaves it. It has no digit, sign or space, so that no rule finds or divides it."""
COUNTED = tuple(kind for kind in KINDS if kind != "ip_local")


class PiiEvidence(StrictModel):
    """What is looked for, beside the kinds that are always looked for."""

    old_resident_numbers: bool = setting(
        False, "Also resident numbers of 15 places (until 1999): region and birth date, no check digit."
    )


class PiiDecision(StrictModel):
    """What is put in the place of each kind; null leaves the kind as it is."""

    email: Placeholder = setting("<EMAIL>", "In the place of e-mail addresses.")
    cn_id: Placeholder = setting("<CN_ID>", "In the place of Chinese resident identity numbers.")
    iban: Placeholder = setting("<IBAN>", "In the place of IBANs.")
    bank_card: Placeholder = setting("<BANK_CARD>", "In the place of bank card numbers.")
    phone: Placeholder = setting("<PHONE>", "In the place of telephone numbers.")
    ip: Placeholder = setting("<IP>", "In the place of IPv4 and IPv6 addresses.")
    ip_local: Placeholder = setting(
        None, "In the place of private, loopback and documentation addresses, which identify nobody and fill manuals."
    )


class Pii(LocalStage):
    """Finds personal data by form and check digit; replaces it."""

    name: ClassVar[str] = "pii"
    paper: ClassVar[str] = "RFC 5322, RFC 4291, E.164, GB 11643-1999, ISO/IEC 7812-1, ISO 13616-1"
    Evidence = PiiEvidence
    Decision = PiiDecision
    provides: ClassVar[Mapping[str, pa.DataType]] = {f"pii_{kind}": pa.int32() for kind in COUNTED}
    evidence: PiiEvidence

    def scan(self, batch: Batch) -> pa.Table:
        """A row for each document (`start` is -1, no kind), and a row for each match."""
        found = find(batch.texts.column, self.evidence.old_resident_numbers)
        start, end = found.start.astype(np.int64), found.end.astype(np.int64)
        kinds = pa.array(np.array(KINDS, dtype=object)[found.kind], pa.string())
        nothing = {"kind": pa.nulls(len(batch.rows), pa.string())}
        return batch.with_spans(nothing, found.documents(), start, end, {"kind": kinds})

    def decide(
        self, evidence: pa.Table, rows: Int32, first_id: int, decision: PiiDecision, earlier: Earlier
    ) -> Verdict:
        """Replaces the kinds that have a placeholder; counts all of them."""
        row, kind = evidence.column("row").to_numpy(), evidence.column("kind").to_numpy(zero_copy_only=False)
        place = np.searchsorted(rows, row)
        counts = {
            f"pii_{name}": pa.array(np.bincount(place[kind == name], minlength=len(rows)).astype(np.int32))
            for name in COUNTED
        }
        columns = pa.table({"row": pa.array(rows), "doc_id": first_id + rows.astype(np.int64), **counts})
        placeholders = decision.model_dump()
        replaced = np.isin(kind, [name for name in KINDS if placeholders[name] is not None])
        chosen = evidence.filter(pa.array(replaced))
        kinds = chosen.column("kind").to_pylist()
        written = [placeholders[name] for name in kinds]
        edits = edits_table(chosen["row"], chosen["start"], chosen["end"], kinds, 0, written)
        return Verdict(edits=edits, columns=columns)

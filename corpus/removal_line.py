"""One line of `RUN/removal.json`: what a stage took from a domain or source, so that one that vanishes is noticed."""

from __future__ import annotations

from dataclasses import dataclass

COUNTS = ("documents_in", "documents_dropped", "bytes_in", "bytes_dropped")
OTHER = "(other)"
"""Stands in place of a source for all those of a domain that are not named."""


@dataclass(frozen=True, slots=True)
class RemovalLine:
    """What one stage received, and what it took of that, for one source within a domain, or for several together.

    `source` is None where the documents have none or a whole domain is meant, `OTHER` for those that are not named;
    `sources` says how many. The domain is the final one. Bytes are of ingested text; those dropped are of dropped
    documents and of cuts.
    """

    stage: str
    domain: str
    source: str | None
    sources: int
    documents_in: int
    documents_dropped: int
    bytes_in: int
    bytes_dropped: int

    @property
    def removed_fraction(self) -> float:
        """The larger of the shares of documents and of text that are gone."""
        by_count = self.documents_dropped / max(1, self.documents_in)
        return max(by_count, self.bytes_dropped / max(1, self.bytes_in))

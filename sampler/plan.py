"""The plan of a mixture: tokens, epochs, repeats, padding and exhaustion of each domain in each phase.

Everything is computed from the expected tokens of an epoch and the shares, so a plan over trillions of tokens takes no
longer than one over millions. The figures are those of the stream, except for the rounding of documents' copies, which
matters in domains of few documents. The padding of best_fit and document is measured on the first blocks of a domain.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from sampler.stream.domain_documents import DomainDocuments
from sampler.stream.mixture_stream import MixtureStream
from sampler.stream.packing import CONCAT, Pieces, sequences_of
from sampler.stream.phases import Phase

_MEASURED_BLOCKS, _MEASURED_PASSES = 4, 256


@dataclass(frozen=True, kw_only=True)
class PlannedDomain:
    """One domain in one phase."""

    phase: int  # its number
    domain: str
    share: float  # of the phase's sequences
    sequences: int  # how many the phase takes of it
    tokens: float  # of these sequences, without padding
    padding: float  # share of padding in these sequences
    epoch_tokens: float  # expected tokens of an epoch of the domain
    begins: float  # epochs of the domain consumed at the phase's beginning
    ends: float  # epochs consumed at its end
    max_epochs: float  # epochs allowed
    repeats_at: float | None  # tokens of the mixture after which its second epoch begins; None if not in this phase
    dry_at: float | None  # tokens of the mixture after which max_epochs is reached; None if not in this phase


def plan_mixture(stream: MixtureStream, tokens: float | None = None) -> list[PlannedDomain]:
    """Plan a stretch of a mixture: an entry for each domain of each phase that is reached. `tokens` of the mixture,
    padding included, are planned; by default to the end of the last phase, or, if it has no end, until its first domain
    is exhausted.
    """
    gone: dict[str, float] = {}  # epochs of each domain consumed before the phase
    rows: list[PlannedDomain] = []
    before = 0.0  # tokens of the mixture before the phase
    for phase in stream.phases:
        if tokens is not None and before >= tokens:
            break
        padding = {name: _padding(r.documents, phase) for name, r in zip(phase.shares, phase.readers, strict=True)}
        length = _sequences(phase, gone, padding, None if tokens is None else tokens - before)
        for name, reader in zip(phase.shares, phase.readers, strict=True):
            rows.append(_row(phase, name, reader.documents, length, gone.get(name, 0.0), padding[name], before))
        gone |= {row.domain: row.ends for row in rows if row.phase == phase.number}
        before += length * phase.length
    return rows


def refusal(rows: list[PlannedDomain]) -> str | None:
    """Why a plan is impossible, in one sentence with the figures; None if it is possible."""
    for row in rows:
        if row.ends > row.max_epochs * (1 + 1e-9):
            return (
                f"domains.{row.domain}.max_epochs: found {row.max_epochs:g}, but phase {row.phase} takes the domain "
                f"to {row.ends:.2f} epochs; expected at most {row.max_epochs:g}, which it reached "
                + ("before this phase" if row.dry_at is None else f"after {row.dry_at:,.0f} tokens of the mixture")
            )
    return None


def _row(
    phase: Phase, name: str, documents: DomainDocuments, sequences: int, begins: float, padding: float, before: float
) -> PlannedDomain:
    share = phase.shares[name].weight
    room = share * sequences * phase.length
    rate = share * (1 - padding) / documents.tokens_per_epoch  # epochs a token of the mixture
    limit = phase.shares[name].max_epochs

    def reached(epochs: float) -> float | None:
        at = before + max(0.0, epochs - begins) / rate
        return at if begins <= epochs and (phase.stop is None or at <= before + sequences * phase.length) else None

    return PlannedDomain(
        phase=phase.number,
        domain=name,
        share=share,
        sequences=round(share * sequences),
        tokens=room * (1 - padding),
        padding=padding,
        epoch_tokens=documents.tokens_per_epoch,
        begins=begins,
        ends=begins + sequences * phase.length * rate,
        max_epochs=limit,
        repeats_at=reached(1.0),
        dry_at=reached(limit),
    )


def _sequences(phase: Phase, gone: dict[str, float], padding: dict[str, float], left: float | None) -> int:
    """How many sequences a phase gives: its own number, or what is left, or until its first domain is exhausted."""
    wanted = None if left is None else math.ceil(left / phase.length)
    if phase.stop is not None:
        found = phase.stop - phase.start
        return found if wanted is None else min(found, wanted)
    if wanted is not None:
        return wanted
    dry = [
        (share.max_epochs - gone.get(name, 0.0))
        * reader.documents.tokens_per_epoch
        / (share.weight * (1 - padding[name]) * phase.length)
        for (name, share), reader in zip(phase.shares.items(), phase.readers, strict=True)
    ]
    return max(0, int(min(dry)))


def _padding(documents: DomainDocuments, phase: Phase) -> float:
    """Share of padding, measured on a domain's first blocks."""
    if phase.packing == CONCAT:
        return 0.0
    tokens, room = 0, 0
    for pieces in _first_blocks(documents):
        tokens += pieces.tokens
        room += sequences_of(pieces, phase.length, phase.packing) * phase.length
    return 1 - tokens / room if room else 0.0


def _first_blocks(documents: DomainDocuments) -> Iterator[Pieces]:
    """The first few blocks that are not empty; if documents have small weights, that may take several passes."""
    found = 0
    for number in range(_MEASURED_PASSES):
        for block in documents.block_order(number)[:_MEASURED_BLOCKS].tolist():
            pieces = documents.pieces_of(number, int(block))[1]
            if pieces.tokens:
                found += 1
                yield pieces
            if found == _MEASURED_BLOCKS:
                return

"""A mixture's phases, opened: the shares of domains, their readers at the right cursors, and a chain of hashes.

Each phase starts where the one before it stopped: in samples, at the first sequence boundary past its token count; in
each domain, at the cursor reached so far. The hash of a phase covers the hash and the length of the phase before it,
and everything that decides its own samples. So while a run goes on, a phase may be appended or a future one edited,
but not one that was consumed: every later hash would change.

Within a phase each domain stays within one sequence of its target at every step; each phase counts anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from corpus.files import canonical_json, read_json, stable_hash, write_json
from sampler.mixture import DomainShare, PhaseConfig
from sampler.stream.blend import Blend
from sampler.stream.domain_documents import DomainDocuments
from sampler.stream.domain_reader import Cursor, DomainReader

_WORTH_KEEPING = 1 << 22


@dataclass(frozen=True, kw_only=True)
class Phase:
    """A stretch of the stream."""

    number: int  # from zero
    start: int  # its first sample
    stop: int | None  # one past its last sample; None if it never ends
    length: int  # tokens of a sequence
    packing: str  # concat, best_fit or document
    shares: dict[str, DomainShare]  # its domains, in name order
    blend: Blend  # the order of its domains
    readers: list[DomainReader]  # one a domain
    hash: str  # of everything that decides its samples and all samples before it

    def fork(self) -> Phase:
        """The same, with caches of its own."""
        return Phase(
            **{**vars(self), "blend": self.blend.fork(), "readers": [reader.fork() for reader in self.readers]}
        )


def lay_phases(
    stretches: list[PhaseConfig],
    shares_of: Callable[[PhaseConfig], dict[str, DomainShare]],
    documents: dict[str, DomainDocuments],
    identity: str,
    cache: Path | None = None,
) -> list[Phase]:
    """Lay phases end to end. The configs have all keys filled in; `documents` has every domain that any of them names;
    `identity` is a hash of what all share: tokenizer, seed, split. In `cache` the counts of whole phases are stored: a
    replay of 10^8 steps takes seconds.
    """
    phases: list[Phase] = []
    cursors: dict[str, Cursor] = {}
    start, chain, before = 0, identity, 0
    for number, stretch in enumerate(stretches):
        assert stretch.sequence_length and stretch.packing
        length, shares = stretch.sequence_length, shares_of(stretch)
        chain = _linked(chain, before, stretch, shares, documents)
        stop = None if stretch.tokens is None else start + -(-stretch.tokens // length)
        readers = [DomainReader(documents[name], length, stretch.packing, cursors.get(name)) for name in shares]
        phase = Phase(
            number=number,
            start=start,
            stop=stop,
            length=length,
            packing=stretch.packing,
            shares=shares,
            blend=Blend([share.weight for share in shares.values()]),
            readers=readers,
            hash=chain,
        )
        phases.append(phase)
        if stop is not None and number + 1 < len(stretches):
            counts = _counts_at_end(phase, cache)
            for name, reader, count in zip(shares, readers, counts.tolist(), strict=True):
                cursors[name] = reader.cursor_after(count)
            start, before = stop, stop - start
    return phases


def _counts_at_end(phase: Phase, cache: Path | None) -> npt.NDArray[np.int64]:
    """Sequences of each domain in a whole phase."""
    assert phase.stop is not None
    steps = phase.stop - phase.start
    if cache is None or steps < _WORTH_KEEPING:
        return phase.blend.counts(steps)
    path = cache / f"blend-{stable_hash([phase.blend.quotas.tolist(), steps])}.json"
    if not path.exists():
        write_json(path, {"counts": phase.blend.counts(steps).tolist()})
    counts = np.array(read_json(path)["counts"], np.int64)
    phase.blend.seek(steps, counts)
    return counts


def _linked(
    chain: str, before: int, stretch: PhaseConfig, shares: dict[str, DomainShare], documents: dict[str, DomainDocuments]
) -> str:
    link = {
        "before": [chain, before],
        "sequence_length": stretch.sequence_length,
        "packing": stretch.packing,
        "shares": {name: share.weight for name, share in shares.items()},
        "documents": {name: documents[name].digest for name in shares},
    }
    return hashlib.sha256(canonical_json(link)).hexdigest()

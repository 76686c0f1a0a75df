"""The stream: sample i of a mixture, a pure function of (manifest hash, seed, i).

The phase and its blend decide which domain sample i comes from and which of the domain's sequences it is; the domain's
reader finds that sequence. Nothing else matters, neither ranks nor batch size nor the length of the run, so that any
number of ranks, any restart and any longer run see the same order. The alternative, an index built for a given number
of samples, would change the order from the beginning when the run gets longer.

The manifest hash covers everything that decides the samples: bins, weights, mixture, held-out rule. It does not depend
on where the run folder lies.

Cost: opening is O(shards); a sample costs its copy and, now and then, a block's permutation.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from sampler.mixture import Mixture
from sampler.stream.batch import Batch
from sampler.stream.phases import Phase
from sampler.stream.window import Window
from tamis.errors import ConfigError

EXACT_STEPS = 1 << 22


class MixtureStream:
    """Random access to the samples of a mixture, its phases end to end. Cheap to `fork`; threads never share one."""

    def __init__(self, mixture: Mixture, phases: list[Phase], eos_id: int) -> None:
        self.mixture, self.phases, self.eos_id = mixture, phases, eos_id
        self.domains = sorted({name for phase in phases for name in phase.shares})
        self._starts = [phase.start for phase in phases]
        # Each phase's domains, as positions in `domains`.
        self._codes = [np.array([self.domains.index(name) for name in phase.shares], np.int16) for phase in phases]

    @property
    def manifest(self) -> str:
        """The hash of everything that decides the samples, of all phases."""
        return self.phases[-1].hash

    def fork(self) -> MixtureStream:
        """The same stream with caches of its own, for another rank or thread."""
        return MixtureStream(self.mixture, [phase.fork() for phase in self.phases], self.eos_id)

    def phase_at(self, sample: int) -> Phase:
        """The phase that a sample lies in."""
        return self.phases[bisect.bisect_right(self._starts, sample) - 1]

    def batch(self, start: int, stop: int) -> Batch:
        """Samples start…stop-1 as arrays. Across a change of sequence length the shorter rows are padded.

        Raises:
            ConfigError: the last phase ends before.
        """
        return self.gather(np.arange(start, stop, dtype=np.int64))

    def gather(self, samples: npt.NDArray[np.int64], length: int = 0) -> Batch:
        """Any samples (int64[n], ascending) as arrays; a row is as long as the longest sequence, and at least `length`.

        Raises:
            ConfigError: the last phase ends before one of them.
        """
        end = self.phases[-1].stop
        if end is not None and len(samples) and samples[-1] >= end:
            raise ConfigError(
                f"phases.{len(self.phases) - 1}.tokens: found {self.mixture.stretches()[-1].tokens or 0}, which ends "
                f"the mixture after {end:,} sequences; expected a larger one for {int(samples[-1]) + 1:,} and beyond, "
                "or none"
            )
        edges = np.searchsorted(samples, [*self._starts, np.iinfo(np.int64).max])
        parts = [(phase, a, b) for phase, a, b in zip(self.phases, edges[:-1], edges[1:], strict=True) if b > a]
        length = max([length, *(phase.length for phase, _, _ in parts)])
        window = Window(len(samples), length, self.eos_id)
        codes = np.zeros(len(samples), np.int16)
        for phase, low, high in parts:
            domains, ordinals = _chosen(phase, samples[low:high] - phase.start)
            for domain, reader in enumerate(phase.readers):
                rows = np.flatnonzero(domains == domain)
                if len(rows):
                    reader.fill(ordinals[rows], rows + int(low), window)
            codes[low:high] = self._codes[phase.number][domains]
        first, columns, doc_ids = window.pieces()
        return Batch(
            window=window.tokens,
            used=window.used,
            domains=codes,
            names=self.domains,
            first=first,
            columns=columns,
            doc_ids=doc_ids,
            samples=samples,
        )

    def tokens_until(self, position: int) -> int:
        """Tokens of the first `position` samples, padding included."""
        ends = [*self._starts[1:], position]
        return sum(
            phase.length * max(0, min(position, end) - phase.start)
            for phase, end in zip(self.phases, ends, strict=True)
        )

    def counts_in(self, phase: Phase, position: int) -> dict[str, int]:
        """How many sequences each domain of a phase gives in that phase before a position."""
        counts = phase.blend.counts(position - phase.start)
        return {name: int(count) for name, count in zip(phase.shares, counts, strict=True)}

    def epochs_needed(self, samples: int) -> dict[str, float]:
        """Epochs of each domain that the first `samples` samples use; past 4 M steps exact to one sequence."""
        found: dict[str, float] = {}
        for phase in self.phases:
            if phase.start <= samples:
                steps = min(samples, phase.stop or samples) - phase.start
                blend = phase.blend
                counts = blend.counts(steps) if steps < EXACT_STEPS else blend.expected(steps)
                for name, reader, count in zip(phase.shares, phase.readers, counts.tolist(), strict=True):
                    found[name] = reader.epochs_after(count)
        return found

    def cleared_until(self, position: int) -> int:
        """Call `require`, and return a sample up to which it need not be called again.

        That is half of the distance to where the first domain reaches its max_epochs.

        Raises:
            ConfigError: as `require`.
        """
        self.require(position)
        phase, needed = self.phase_at(max(position - 1, 0)), self.epochs_needed(position)
        left = min(
            (share.max_epochs - needed[name]) * reader.documents.tokens_per_epoch / (share.weight * phase.length)
            for (name, share), reader in zip(phase.shares.items(), phase.readers, strict=True)
        )
        ahead = position + int(left / 2)
        return ahead if phase.stop is None else max(position, min(ahead, phase.stop))

    def require(self, samples: int) -> None:
        """Refuse a run that would repeat a domain more often than the mixture allows.

        Raises:
            ConfigError: a domain needs more epochs than its max_epochs.
        """
        for phase in self.phases:
            if phase.start >= samples:
                break
            stop = min(samples, phase.stop or samples)
            needed = self.epochs_needed(stop)
            for name, share in phase.shares.items():
                if needed[name] > share.max_epochs:
                    where = f"phases.{phase.number}." if len(self.phases) > 1 else ""
                    raise ConfigError(
                        f"{where}domains.{name}.max_epochs: found {share.max_epochs:g}, but {stop:,} sequences need "
                        f"{needed[name]:.2f} epochs of it; expected at most {share.max_epochs:g}; take fewer steps, "
                        f"lower its weight, or allow more epochs"
                    )


class RankStream:
    """What one rank of a data-parallel job reads: its slice of every global batch, the first at the sample `position`.

    Raises:
        ConfigError: the world size does not divide the batch, or the rank is outside the world.
    """

    def __init__(self, stream: MixtureStream, rank: int, world_size: int, global_batch: int, position: int = 0) -> None:
        if global_batch < 1 or world_size < 1 or global_batch % world_size:
            raise ConfigError(
                f"world_size: found {world_size}, beside global_batch {global_batch}"
                f"; expected a world size that divides the global batch"
            )
        if not 0 <= rank < world_size:
            raise ConfigError(f"rank: found {rank}; expected 0 to {world_size - 1}")
        self.stream, self.rank, self.world_size, self.position = stream, rank, world_size, position
        self.rows = global_batch // world_size
        self.global_batch = global_batch

    def batch(self, step: int) -> Batch:
        """This rank's rows of a step."""
        return self.gather([step])[0]

    def gather(self, steps: Sequence[int]) -> list[Batch]:
        """This rank's rows of some ascending steps, made in one go, which shares the fixed cost of a step."""
        first = self.position + np.array(steps, np.int64) * self.global_batch + self.rank * self.rows
        samples = first[:, None] + np.arange(self.rows)
        found = []
        for group, length in self._groups(samples):
            batch = self.stream.gather(group.reshape(-1), length)
            found += [batch.rows(low, low + self.rows) for low in range(0, group.size, self.rows)]
        return found

    def _groups(self, samples: npt.NDArray[np.int64]) -> list[tuple[npt.NDArray[np.int64], int]]:
        """Steps grouped by row length, so that only the step across a change of length is padded, not all of them."""
        if len({phase.length for phase in self.stream.phases}) == 1:
            return [(samples, self.stream.phases[0].length)]
        lengths = np.array([self._length(step) for step in samples])
        edges = [0, *(np.flatnonzero(np.diff(lengths)) + 1).tolist(), len(samples)]
        return [(samples[a:b], int(lengths[a])) for a, b in pairwise(edges) if b > a]

    def _length(self, samples: npt.NDArray[np.int64]) -> int:
        """Tokens of a row: the longest in the global batch, so that the rows of all ranks have the same length."""
        first = int(samples[0]) - self.rank * self.rows
        low, high = (self.stream.phase_at(at).number for at in (first, first + self.global_batch - 1))
        return max(phase.length for phase in self.stream.phases[low : high + 1])

    def steps_left(self) -> int | None:
        """Whole steps until the mixture ends; None if it never ends."""
        end = self.stream.phases[-1].stop
        return None if end is None else max(0, (end - self.position) // self.global_batch)


def _chosen(phase: Phase, samples: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.int64]]:
    """Domain and ordinal of some samples of a phase."""
    first, last = int(samples[0]), int(samples[-1]) + 1
    domains, ordinals = phase.blend.choices(first, last)
    if last - first == len(samples):
        return domains, ordinals
    return domains[samples - first], ordinals[samples - first]

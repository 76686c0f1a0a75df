"""A mixture streamed from Python: batches in numpy, or a dataset for torch, with a state to save and load.

    batches = stream("mixture.yaml", run="RUN", rank=0, world_size=8, global_batch=512)
    for batch in batches:             # batch.tokens, batch.labels: int64[64, sequence_length]
        ...
        state = batches.state()       # one small JSON, equal on every rank; load_state at any world size

A thread works ahead. For torch `batches.dataset()` is an IterableDataset over the same steps.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from corpus.config import parse
from sampler.loader import Prefetch
from sampler.mixture import Mixture, load_mixture
from sampler.prepare import Prepared, prepare
from sampler.stream.batch import Batch
from sampler.stream.mixture_stream import RankStream
from sampler.stream.state import position_of, state_at
from tamis.errors import ConfigError, told_briefly
from tamis.extras import needs
from tamis.places import find_config
from tamis.progress import SILENT, Progress

if TYPE_CHECKING:
    from sampler.torch_data import StreamDataset


class Batches:
    """The steps of a rank, from the current position on; what `stream` gives.

    `prepared` has the tokenizer, the bins and the stream that the steps are made from.
    """

    def __init__(self, prepared: Prepared, ranked: RankStream) -> None:
        self.prepared = prepared
        self._ranked = ranked
        self._position = ranked.position

    @told_briefly
    def __iter__(self) -> Iterator[Batch]:
        """Batches, each this rank's rows of a step: `tokens` and `labels`, int64[rows, sequence_length] (-100 where no
        label is), `positions` and `segments`, int32 of that shape, `cu_seqlens`, int32[pieces + 1], `doc_ids`,
        int64[pieces]. Without end unless the mixture has one.

        Raises:
            ConfigError: before a step that would take a domain past its max_epochs.
        """
        stream, size = self._ranked.stream, self._ranked.global_batch
        ranked = RankStream(stream, self._ranked.rank, self._ranked.world_size, size, self._position)
        return self._steps(ranked)

    def _steps(self, ranked: RankStream) -> Iterator[Batch]:
        cleared = self._position
        with Prefetch(ranked) as batches:
            for batch in batches:
                after = self._position + ranked.global_batch
                if after > cleared:
                    cleared = told_briefly(ranked.stream.cleared_until)(after)
                self._position = after
                yield batch

    def state(self) -> dict[str, Any]:
        """The state after the last batch that an iteration gave: a small JSON object, equal on every rank."""
        return state_at(self._ranked.stream, self._position)

    @told_briefly
    def load_state(self, state: Mapping[str, Any]) -> None:
        """Goes on from a state, of any number of ranks and any batch size, at the next iteration.

        Raises:
            TamisError: it belongs to another mixture or other bins, or is damaged.
        """
        self._position = position_of(self._ranked.stream, dict(state))

    @told_briefly
    def dataset(self, steps: int | None = None, fields: Sequence[str] | None = None) -> StreamDataset:
        """The same steps, from the current position on, as an IterableDataset of torch (see `sampler.torch_data`), to
        be iterated or given to a DataLoader with `batch_size=None`; it has a state of its own.

        Raises:
            ConfigError: so many steps would take a domain past its max_epochs; or torch is not installed.
        """
        needs("torch", extra="train", for_="dataset()")
        from sampler.torch_data import FIELDS, StreamDataset

        ranked = self._ranked
        at = RankStream(ranked.stream, ranked.rank, ranked.world_size, ranked.global_batch, self._position)
        return StreamDataset(at, steps, fields or FIELDS)


@told_briefly
def stream(
    mixture: str | PathLike[str] | Mapping[str, Any] | Mixture,
    run: str | PathLike[str] | None = None,
    *,
    global_batch: int,
    rank: int = 0,
    world_size: int = 1,
    bins: str | None = None,
    progress: Progress | None = None,
) -> Batches:
    """Opens a mixture over a run: sample *i* is a pure function of (manifest, seed, *i*), whatever the ranks.

    The first time, a tokenizer is trained and the shards are tokenised into `run/tokens`, unless the mixture or `bins`
    names token bins.

    Args:
        mixture: the path of a YAML, the name of one that Tamis ships ("default"), a `Mixture`, or what a YAML would
            hold: `{"domains": {"web": {"weight": 3}, "books": {}}, "sequence_length": 2048, "seed": 1}`.
        run: the run folder; needed unless the YAML names it.
        global_batch: sequences of a step, over all ranks.
        rank: which rank this is.
        world_size: how many there are; it divides the global batch.
        bins: token bins to read, a folder or a URI, in place of the mixture's.
        progress: told of the building of tokenizer and bins.

    Raises:
        ConfigError: mixture, run and ranks do not fit.
        TamisError: the run has no shards, or a file is corrupt.
    """
    opened, folder = _opened(mixture, None if run is None else Path(run), bins)
    prepared = prepare(folder, opened, progress or SILENT)
    return Batches(prepared, RankStream(prepared.stream, rank, world_size, global_batch))


def _opened(mixture: Any, run: Path | None, bins: str | None) -> tuple[Mixture, Path]:
    """The mixture and its run folder."""
    if isinstance(mixture, str | PathLike):
        return load_mixture(find_config("mixtures", Path(mixture)), run, bins)
    made = mixture if isinstance(mixture, Mixture) else parse(Mixture, dict(mixture), "mixture")
    found = run or (Path(made.run) if made.run else None)
    if found is None or not found.is_dir():
        raise ConfigError(f"run: found {str(found) if found else None!r}; expected the folder of a run")
    return (made if bins is None else made.model_copy(update={"bins": bins})), found

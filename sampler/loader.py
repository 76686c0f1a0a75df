"""Batches prefetched by a thread: the kernels release the GIL, so one thread is enough.

Several steps are gathered at once, half a million tokens or more, so that they share the fixed cost of a step; the
consumer gets them one by one, as views. Memory: four such groups of steps, some 25 MB, whatever the corpus.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from types import TracebackType

from sampler.stream.batch import Batch
from sampler.stream.mixture_stream import RankStream

AHEAD_TOKENS = 1 << 19
_AHEAD = 2


class Prefetch:
    """The steps of a rank, in order, made by a background thread on a fork of its stream: every stride-th (as one of
    several workers takes them) from `start` to `stop`, or for as long as the mixture goes on.

    Raises:
        TamisError: on iteration, if reading raised it.
    """

    def __init__(self, ranked: RankStream, start: int = 0, stop: int | None = None, stride: int = 1) -> None:
        self._ranked = RankStream(
            ranked.stream.fork(), ranked.rank, ranked.world_size, ranked.global_batch, ranked.position
        )
        end = self._ranked.steps_left()
        self._stop = end if stop is None else stop if end is None else min(stop, end)
        self._start, self._stride = start, stride
        length = max(phase.length for phase in ranked.stream.phases)
        self._steps = max(1, AHEAD_TOKENS // (ranked.rows * length))
        self._queue: queue.Queue[list[Batch] | BaseException | None] = queue.Queue(_AHEAD)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._work, name="tamis-prefetch", daemon=True)

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches; start the thread."""
        self._thread.start()
        while True:
            found = self._queue.get()
            if found is None:
                return
            if isinstance(found, BaseException):
                raise found
            yield from found

    def __enter__(self) -> Prefetch:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the thread."""
        self.close()

    def close(self) -> None:
        """Stop the thread; prefetched batches are dropped."""
        self._closed.set()
        while self._thread.is_alive():
            try:
                self._queue.get_nowait()
            except queue.Empty:
                self._thread.join(0.01)

    def _work(self) -> None:
        try:
            step, ahead = self._start, 1  # at first a single step, so that it comes soon
            while not self._closed.is_set() and (self._stop is None or step < self._stop):
                last = step + ahead * self._stride
                if self._stop is not None:
                    last = min(last, self._stop)
                chosen = range(step, last, self._stride)
                self._queue.put(self._ranked.gather(chosen))
                step, ahead = step + len(chosen) * self._stride, self._steps
            self._queue.put(None)
        except BaseException as error:  # raised again in the thread that waits for the batch
            self._queue.put(error)

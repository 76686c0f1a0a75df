"""HTML to text in a child process, so that a page that hangs or crashes the extractor costs one page.

The extractor is compiled code: a signal handler or a thread cannot stop it, only the end of its process can.
One child is forked and kept for all the pages of a file, as a fork for each page would cost more than most
extractions. Why not `resiliparse.process_guard`: it interrupts the process that reads, here a Spark worker,
and a loop that never returns to the interpreter outlives its exceptions.

Cost: a fork of some milliseconds a file and after each failure, and one copy of page and text through a pipe.
"""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import os
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Self

from corpus.records import Reason

_OK = b"+"
_FAILED = b"-"


class ExtractionFailed(Exception):
    """One page could not be extracted; `detail` is a few words, the same on every machine."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason: Reason = reason
        self.detail = detail


class Extractor:
    """Run a text extractor under a time limit; a context manager that leaves no process behind.

    The child, which extracts, is forked at the first page, so that a file without HTML costs nothing. What the limit
    for one page rejects depends on the machine, so it should be far above what a page takes.
    """

    def __init__(self, extract: Callable[[str], str], timeout_seconds: float) -> None:
        self._extract = extract
        self._timeout_seconds = timeout_seconds
        self._child: multiprocessing.process.BaseProcess | None = None
        self._pipe: Connection | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __call__(self, page: str) -> str:
        """Return the text of a page.

        Raises:
            ExtractionFailed: if it takes too long, raises, or ends its process.
        """
        pipe = self._pipe or self._start()
        try:
            pipe.send_bytes(page.encode("utf-8", "replace"))
            if not pipe.poll(self._timeout_seconds):
                self.close()
                raise ExtractionFailed("extraction_timeout", f"no text after {self._timeout_seconds:g} s")
            answer = pipe.recv_bytes()
        except (EOFError, OSError) as error:
            self.close()
            raise ExtractionFailed("extraction_error", "the extractor ended its process") from error
        if answer[:1] == _FAILED:
            raise ExtractionFailed("extraction_error", answer[1:].decode())
        return answer[1:].decode()

    def close(self) -> None:
        """End the child and wait for it; the next page starts another."""
        if self._pipe is not None:
            self._pipe.close()
        if self._child is not None:
            self._child.kill()
            self._child.join()
            self._child.close()
        self._pipe = self._child = None

    def _start(self) -> Connection:
        context = multiprocessing.get_context("fork")
        ours, theirs = context.Pipe()
        child = context.Process(target=_serve, args=(theirs, self._extract, self._timeout_seconds), daemon=True)
        child.start()
        theirs.close()
        self._child, self._pipe = child, ours
        return ours


def page_text(page: str, *, main_content: bool = True) -> str:
    """Return the visible text of an HTML page with its line breaks, with or without menus, footers and the like."""
    from resiliparse.extract.html2text import extract_plain_text

    return extract_plain_text(page, preserve_formatting=True, main_content=main_content)


def _serve(pipe: Connection, extract: Callable[[str], str], timeout_seconds: float) -> None:
    """Answer pages until the parent is gone.

    The parent's open files are closed first: a socket kept open here would keep its peer waiting after the
    parent has died. The alarm ends a child that hangs after its parent died; its default action needs no
    interpreter.
    """
    for number in map(int, os.listdir("/dev/fd")):
        if number > 2 and number != pipe.fileno():
            os.closerange(number, number + 1)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with contextlib.suppress(EOFError, OSError):
        while True:
            page = pipe.recv_bytes().decode()
            signal.alarm(math.ceil(timeout_seconds) + 60)
            answer = _answer(extract, page)
            signal.alarm(0)
            pipe.send_bytes(answer)
    os._exit(0)


def _answer(extract: Callable[[str], str], page: str) -> bytes:
    try:
        return _OK + extract(page).encode("utf-8", "replace")
    except BaseException as error:  # compiled code signals a panic by one that is no Exception
        return _FAILED + type(error).__name__.encode()

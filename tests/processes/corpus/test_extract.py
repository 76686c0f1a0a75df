"""The watchdog: a page that hangs, raises or kills the extractor costs that page and leaves no process."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time

import pytest

from corpus.extract import ExtractionFailed, Extractor, page_text


def naughty(page: str) -> str:
    if page == "hang":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        while True:
            pass
    if page == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if page == "raise":
        raise ValueError("/some/path at 12:00")
    if page == "panic":
        raise BaseException("as compiled code does")
    return f"{page} {os.getpid()}"


@pytest.fixture(autouse=True)
def no_child_is_left():
    yield
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize(
    ("page", "reason"),
    [
        ("hang", "extraction_timeout"),
        ("crash", "extraction_error"),
        ("raise", "extraction_error"),
        ("panic", "extraction_error"),
    ],
)
def test_a_failing_page_costs_that_page(page, reason):
    with Extractor(naughty, 0.3) as extract:
        assert extract("before").startswith("before")
        with pytest.raises(ExtractionFailed) as failed:
            extract(page)
        assert failed.value.reason == reason
        assert extract("behind").startswith("behind")


def test_a_hang_ends_in_time():
    started = time.monotonic()
    with Extractor(naughty, 0.2) as extract, pytest.raises(ExtractionFailed):
        extract("hang")
    assert time.monotonic() - started < 2


def test_detail_names_the_error_and_nothing_of_the_machine():
    with Extractor(naughty, 5) as extract, pytest.raises(ExtractionFailed) as failed:
        extract("raise")
    assert failed.value.detail == "ValueError"


def test_one_child_serves_all_pages_and_none_is_started_without_a_page():
    with Extractor(naughty, 5) as extract:
        assert multiprocessing.active_children() == []
        assert len({extract("page") for _ in range(5)}) == 1


def test_a_page_larger_than_a_pipe_comes_through():
    with Extractor(str.upper, 5) as extract:
        assert extract("aé中" * 1_000_000) == "AÉ中" * 1_000_000


def test_the_child_keeps_no_file_of_the_parent_open():
    def open_files(_: str) -> str:
        return " ".join(sorted(os.listdir("/dev/fd"), key=int))

    reader, writer = os.pipe()
    with Extractor(open_files, 5) as extract:
        assert len(extract("").split()) <= 3 + 1 + 1  # the standard three, the pipe, the listing itself
    os.close(reader)
    os.close(writer)


def test_page_text_extracts_visible_text():
    page = "<html><head><title>t</title></head><body><nav><a href=x>Menu</a></nav><main>"
    page += "<p>One</p><p>Two<script>x()</script></main>"
    assert page_text(page).split() == ["One", "Two"]
    assert "Menu" in page_text(page, main_content=False)


def test_lone_surrogates_do_not_break_the_pipe():
    with Extractor(lambda page: page + "\ud800", 5) as extract:
        assert extract("a\udfffb") == "a?b?"

"""The CPU meter counts every process of a tree: children, grandchildren, orphans, killed ones."""

from __future__ import annotations

import sys
import textwrap

import pytest

from benchmarks.tools.cpu import measure

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc and uses prctl")

BURN = """
import os, sys, time
def burn(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass
"""


def _run(body: str) -> float:
    return measure([sys.executable, "-c", BURN + textwrap.dedent(body)]).cpu_seconds


@pytest.fixture(scope="module")
def idle() -> float:
    return _run("")


def test_a_child_and_a_grandchild_count(idle: float) -> None:
    used = _run("""
        burn(0.2)
        if os.fork() == 0:
            burn(0.2)
            if os.fork() == 0:
                burn(0.2)
                os._exit(0)
            os.wait()
            os._exit(0)
        os.wait()
    """)
    assert used - idle == pytest.approx(0.6, abs=0.15)


def test_an_orphan_that_outlives_the_command_counts(idle: float) -> None:
    used = _run("""
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                time.sleep(0.3)
                burn(0.5)
                os._exit(0)
            os._exit(0)
        os.wait()
    """)
    assert used - idle == pytest.approx(0.5, abs=0.15)


def test_an_unreaped_and_a_killed_child_count(idle: float) -> None:
    used = _run("""
        first = os.fork()
        if first == 0:
            burn(0.3)
            os._exit(0)
        second = os.fork()
        if second == 0:
            burn(0.3)
            time.sleep(100)
        time.sleep(1.5)
        os.kill(second, 9)
    """)
    assert used - idle == pytest.approx(0.6, abs=0.2)


def test_memory_is_the_trees() -> None:
    used = measure(
        [
            sys.executable,
            "-c",
            BURN + "x = b'x' * 150_000_000\nif os.fork() == 0: time.sleep(0.6)\nelse: time.sleep(0.6)",
        ]
    )
    assert 150e6 < used.peak_process_bytes < 220e6
    assert used.peak_tree_bytes > used.peak_process_bytes
    assert used.peak_worker_bytes == 0


def test_a_failure_says_what_was_printed() -> None:
    with pytest.raises(SystemExit, match="no such luck"):
        measure([sys.executable, "-c", "import sys; sys.exit('no such luck')"])


def test_children_of_a_process_that_ignores_their_end_count(idle: float) -> None:
    """As PySpark's daemon does: the kernel tells nobody what they used."""
    used = _run("""
        import signal
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        pid = os.fork()
        if pid == 0:
            burn(0.8)
            time.sleep(0.5)
            os._exit(0)
        time.sleep(2.0)
    """)
    assert used - idle == pytest.approx(0.8, abs=0.15)


def test_a_child_that_outlives_its_ignoring_parent_counts_once(idle: float) -> None:
    """It becomes the meter's own child, which the kernel counts when it is waited for."""
    used = _run("""
        import signal
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        if os.fork() == 0:
            burn(0.5)
            time.sleep(1.5)
            os._exit(0)
        time.sleep(1.0)
    """)
    assert used - idle == pytest.approx(0.5, abs=0.15)

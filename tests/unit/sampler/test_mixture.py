"""Mixtures: strict files, errors that name key, found and allowed, and what a stream draws on."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from corpus.config import load_config
from sampler.mixture import Mixture, load_mixture
from sampler.prepare import prepare, split_streams
from tamis.errors import ConfigError, TamisError
from tests.conftest import REPOSITORY
from tests.support.sampler_run import SMALL, write_run, write_weights

CONF = REPOSITORY / "conf" / "mixtures"
BASE: dict[str, Any] = {"domains": "*", "sequence_length": 32, "seed": 1, "tokenizer": SMALL}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = write_run(tmp_path_factory.mktemp("run") / "run")
    prepare(run, Mixture(**BASE))
    return run


@pytest.fixture
def run(template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(template, tmp_path / "run"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"sequence_length": 1}, "sequence_length: found 1; expected at least 2"),
        ({"sed": 1}, r"sed: unknown key 'sed' \(did you mean 'seed'\?\); allowed are .*seed"),
        ({"domains": {"en": {"wieght": 1}}}, "domains.en.wieght: unknown key .*allowed are max_epochs, shards, weight"),
        ({"domains": {"en": {"weight": 0}, "zh": {"weight": 0}}}, "domains: found .*weight above 0"),
        ({"domains": {"en": {"weight": -1}}}, "domains.en.weight: found -1"),
        ({"domains": {"en": {"weight": float("inf")}}}, "domains.en.weight: found inf"),
        ({"domains": {}}, "domains: found {}"),
        ({"domains": {"*": {}, "en": {}}}, "domains: found .*alone"),
        ({"packing": "bestfit"}, "packing: found 'bestfit'; .*concat"),
        ({"tokenizer": {"vocab_size": 5}}, "tokenizer.vocab_size: found 5"),
        ({"seed": None}, "seed: found None"),
    ],
)
def test_one_sentence_for_a_mistake(change: dict[str, Any], said: str, tmp_path: Path) -> None:
    path = tmp_path / "mixture.yaml"
    path.write_text(yaml.safe_dump(BASE | change))
    with pytest.raises(ConfigError, match=said) as caught:
        load_config(Mixture, path)
    assert "\n" not in str(caught.value) and str(caught.value).startswith(f"{path}: ")


def test_missing_key_and_broken_files(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    for content, said in (
        ("a: [", "cannot be read as YAML"),
        ("- 1", "mapping"),
        ("", "found nothing; .* this key is required"),
        ("{domains: '*', sequence_length: 4}", "seed: found nothing; .* this key is required"),
        ("seed: 1\nseed: 2", "key 'seed' stands twice"),
    ):
        path.write_text(content)
        with pytest.raises(ConfigError, match=said) as caught:
            load_config(Mixture, path)
        assert "\n" not in str(caught.value) and str(caught.value).startswith(f"{path}: ")
    with pytest.raises(ConfigError, match="there is no such file"):
        load_config(Mixture, tmp_path / "absent.yaml")


def test_run_is_relative_to_the_file_and_can_be_overridden(tmp_path: Path) -> None:
    (tmp_path / "runs" / "a").mkdir(parents=True)
    (tmp_path / "conf").mkdir()
    path = tmp_path / "conf" / "m.yaml"
    path.write_text(yaml.safe_dump(BASE | {"run": "../runs/a"}))
    assert load_mixture(path)[1] == tmp_path / "runs" / "a"
    assert load_mixture(path, tmp_path)[1] == tmp_path
    with pytest.raises(ConfigError, match="run: found .*absent"):
        load_mixture(path, tmp_path / "absent")
    path.write_text(yaml.safe_dump(BASE))
    with pytest.raises(ConfigError, match="run: found nothing"):
        load_mixture(path)


def test_the_default_mixture_parses() -> None:
    assert set(load_config(Mixture, CONF / "default.yaml").domains) == {"*"}


def test_every_domain_by_its_tokens(run: Path) -> None:
    stream = prepare(run, Mixture(**BASE)).stream
    phase = stream.phases[0]
    tokens = {
        name: reader.documents.tokens_per_epoch for name, reader in zip(stream.domains, phase.readers, strict=True)
    }
    assert stream.domains == ["en", "zh"]
    for name, quota in zip(stream.domains, phase.blend.quotas, strict=True):
        assert quota / (1 << 40) == pytest.approx(tokens[name] / sum(tokens.values()))


def test_unknown_domain_and_too_many_epochs(run: Path) -> None:
    with pytest.raises(ConfigError, match="domains.fr: .*expected en, zh"):
        prepare(run, Mixture(**BASE | {"domains": {"fr": {}}}))
    stream = prepare(run, Mixture(**BASE | {"domains": {"en": {"max_epochs": 2}, "zh": {"weight": 0}}})).stream
    assert stream.domains == ["en"]
    epoch = stream.phases[0].readers[0].documents.tokens_per_epoch / 32
    stream.require(int(2 * epoch))
    with pytest.raises(ConfigError, match=r"domains.en.max_epochs: found 2, but .* need 2\.50 epochs"):
        stream.require(int(2.5 * epoch))


def test_weights_repeat_and_drop_documents(run: Path) -> None:
    write_weights(run, "en", [0.0, 2.0] * 60)
    write_weights(run, "zh", [1.0] * 120)
    stream = prepare(run, Mixture(**BASE | {"domains": {"en": {"max_epochs": 9}}})).stream
    documents = stream.phases[0].readers[0].documents
    assert documents.passes == 2 and set(documents.weights.tolist()) == {0, 2 << 24}
    batch = stream.batch(0, int(documents.tokens_per_epoch) // 32)
    eos = int((batch.tokens == prepare(run, Mixture(**BASE)).bins.eos_id).sum())
    assert eos in (117, 118, 119, 120) and documents.tokens_after(2) == documents.tokens_per_epoch
    write_weights(run, "en", [0.0] * 120)
    with pytest.raises(ConfigError, match="domains.en.weight.*no tokens"):
        prepare(run, Mixture(**BASE | {"domains": {"en": {}}}))
    write_weights(run, "en", [65.0] * 120)
    with pytest.raises(TamisError, match="en-00000.parquet: found weights.*; expected 0…64"):
        prepare(run, Mixture(**BASE))


def test_manifest_names_all_that_decides_and_nothing_else(run: Path, tmp_path: Path) -> None:
    base = prepare(run, Mixture(**BASE)).stream.manifest
    moved = Path(shutil.move(run, tmp_path / "elsewhere"))
    assert prepare(moved, Mixture(**BASE | {"run": "x"})).stream.manifest == base
    changes = [{"seed": 2}, {"sequence_length": 33}, {"domains": {"en": {}}}, {"shuffle_block_tokens": 99}]
    found = {prepare(moved, Mixture(**BASE | change)).stream.manifest for change in changes}
    # A named domain's share does not depend on its tokens: only the weights themselves can tell these apart.
    write_weights(moved, "zh", [1.0] * 120)
    for weight in (0.5, 0.75):
        write_weights(moved, "en", [weight] * 120)
        found.add(prepare(moved, Mixture(**BASE | {"domains": {"en": {}}})).stream.manifest)
    assert len(found | {base}) == 7


@pytest.mark.parametrize("heldout", [True, False])
def test_training_and_held_out_documents_are_disjoint(tmp_path: Path, heldout: bool) -> None:
    prepared = prepare(write_run(tmp_path, count=300, heldout=heldout), Mixture(**BASE))
    train, held, chosen_here = split_streams(prepared)
    assert chosen_here is not heldout
    assert sorted(held.domains) == sorted(train.domains)
    for first, second in zip(train.phases[0].readers, held.phases[0].readers, strict=True):
        seen, kept = first.documents.weights > 0, second.documents.weights > 0
        assert kept.any() and seen.any() and not (seen & kept).any() and (seen | kept).all()
        if heldout:
            assert kept.tolist() == [bool(flag) for shard in first.documents.shards for flag in shard.index.heldout]

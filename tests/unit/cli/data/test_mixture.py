"""`tamis mixture` and `tamis tokens`: plans that hold, refusals with figures, bins and a first look."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from cli.main import app
from corpus.files import manifest_path
from sampler.mixture import Mixture
from sampler.plan import plan_mixture
from sampler.prepare import open_stream, prepare
from tamis.errors import ConfigError, TamisError
from tests.support.sampler_run import SMALL, write_run, write_weights

BASE: dict[str, Any] = {"run": "run", "domains": "*", "sequence_length": 32, "seed": 1, "tokenizer": SMALL}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mixture")
    prepare(write_run(folder / "run"), Mixture(**BASE))
    return folder


def write(folder: Path, **changes: Any) -> Path:
    path = folder / "mixture.yaml"
    path.write_text(yaml.safe_dump({**BASE, **changes}))
    return path


def invoke(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)


def json_of(*arguments: str | Path) -> Any:
    return json.loads(invoke(*arguments, "--format", "json").stdout)


PHASES: dict[str, Any] = {
    "domains": {"en": {"weight": 3}, "zh": {"weight": 1}},
    "phases": [
        {"tokens": 3000},
        {
            "tokens": 2000,
            "domains": {"zh": {"weight": 1, "max_epochs": 9}},
            "sequence_length": 64,
            "packing": "best_fit",
        },
        {"domains": {"en": {"weight": 1}, "zh": {"weight": 1}}, "temperature": 2.0},
    ],
}


def test_a_plan_is_what_the_stream_then_does(folder: Path) -> None:
    path = write(folder, **PHASES)
    rows = json_of("mixture", "plan", path, "--tokens", "9000")
    assert [(row["phase"], row["domain"]) for row in rows] == [(0, "en"), (0, "zh"), (1, "zh"), (2, "en"), (2, "zh")]
    stream = prepare(folder / "run", Mixture(**{**BASE, **PHASES})).stream
    for phase in stream.phases:
        mine = [row for row in rows if row["phase"] == phase.number]
        stop = phase.stop if phase.stop is not None else phase.start + sum(row["sequences"] for row in mine)
        for row in mine:
            epochs = stream.epochs_needed(stop)[row["domain"]]
            one = phase.length / row["epoch_tokens"]
            assert abs(epochs - row["ends"]) <= 2.5 * one  # within a sequence a phase, and its padding's estimate
            assert row["padding"] == 0 if phase.packing == "concat" else 0 < row["padding"] < 0.5
    text = invoke("mixture", "plan", path, "--tokens", "9000").stdout
    assert "75.00%" in text and "2.26k" in text and "…" not in text
    assert json_of("mixture", "check", path, "--tokens", "9000") == {
        "ok": True,
        "phases": 3,
        "tokens": pytest.approx(9000, abs=64),
    }


def test_without_tokens_a_plan_goes_on_until_a_domain_runs_dry(folder: Path) -> None:
    rows = json_of("mixture", "plan", write(folder, domains={"en": {"max_epochs": 2}, "zh": {"max_epochs": 3}}))
    assert max(row["ends"] / row["max_epochs"] for row in rows) == pytest.approx(1, abs=0.02)
    first = next(row for row in rows if row["ends"] / row["max_epochs"] > 0.97)
    assert first["repeats_at"] < first["dry_at"] <= 1.001 * sum(row["tokens"] for row in rows) + 32


def test_a_mixture_that_would_exceed_its_epochs_is_refused_with_the_figure(folder: Path) -> None:
    path = write(folder, domains={"en": {"max_epochs": 2}})
    epoch = json_of("mixture", "plan", path)[0]["epoch_tokens"]
    assert json_of("mixture", "check", path, "--tokens", str(int(1.9 * epoch)))["ok"]
    with pytest.raises(ConfigError, match=r"domains\.en\.max_epochs: found 2, .* to 3\.0\d epochs"):
        invoke("mixture", "check", path, "--tokens", str(int(3 * epoch)))
    with pytest.raises(ConfigError, match=r"max_epochs: found 2, but .* need 3\.\d\d epochs"):
        invoke("tokens", "stream", path, "--steps", f"0:{int(3 * epoch) // 256 + 1}")
    for text in ("many", "0", "-1", "nan"):
        with pytest.raises(ConfigError, match="--tokens: found"):
            invoke("mixture", "check", path, "--tokens", text)


def test_the_picture_needs_no_network(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "mixture.html"
    assert "written" in invoke("mixture", "plot", write(folder, **PHASES), "--tokens", "9000", "--out", out).stdout
    html = out.read_text()
    assert 'id="mixture"' in html and "share of tokens" in html and "<script src=" not in html


def test_bins_are_built_verified_and_streamed_from_the_command_line(folder: Path, tmp_path: Path) -> None:
    model = next((folder / "run" / "tokenizer").glob("*/tokenizer.model"))
    bins = tmp_path / "bins"
    built = json_of("tokens", "build", folder / "run", "--tokenizer", model, "--out", bins)
    assert [row["documents"] for row in built["domains"]] == [120, 120]
    assert json_of("tokens", "verify", bins)["ok"]
    own = invoke("tokens", "stream", write(folder), "--steps", "1:4", "--digest").stdout
    named = {key: value for key, value in BASE.items() if key != "tokenizer"}
    (folder / "named.yaml").write_text(yaml.safe_dump({**named, "bins": str(bins)}))
    for world in ("1", "2", "8"):
        found = invoke("tokens", "stream", folder / "named.yaml", "--steps", "1:4", "--digest", "--world-size", world)
        assert found.stdout == own
    path = bins / "en" / "en-00001.bin"
    path.write_bytes(b"\0" * path.stat().st_size)
    with pytest.raises(TamisError, match=r"en-00001\.bin: is corrupt or was exchanged"):
        invoke("tokens", "verify", bins)
    with pytest.raises(ConfigError, match="`bins` or `tokenizer`, not both"):
        invoke("tokens", "stream", write(folder, bins=str(bins)))


def test_a_first_look_makes_no_bins(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    path = write(tmp_path, domains={"en": {"weight": 1}, "zh": {"weight": 3}})
    rows = json_of("tokens", "stream", path, "--first-look", "--steps", "0:2")
    assert [row["domain"] for row in rows].count("zh") == 12 and len(rows) == 16
    assert not (run / "tokens").exists()
    assert rows == json_of("tokens", "stream", path, "--first-look", "--steps", "0:2")
    model = next((run / "tokenizer").glob("*/tokenizer.model"))
    assert json_of("tokens", "stream", path, "--first-look", "--tokenizer", model, "--steps", "0:2") == rows
    with pytest.raises(ConfigError, match="without --first-look"):
        invoke("tokens", "stream", path, "--tokenizer", model)
    write_weights(run, "en", [0.0, 1.0] * 60)
    write_weights(run, "zh", [1.0] * 120)
    weighted = json_of("tokens", "stream", path, "--first-look", "--steps", "0:2")
    everything = json_of("tokens", "stream", write(tmp_path), "--first-look", "--steps", "0:1")
    assert {row["domain"] for row in everything} == {"en", "zh"}
    ids = {int(doc) for row in weighted if row["domain"] == "en" for doc in row["doc_ids"]}
    assert ids and all((doc - 5) % 2 == 1 for doc in ids if doc < 1 << 27)


# --------------------------------------------------------------------------------- what a mixture says of its domains


def open_with(folder: Path, **changes: Any) -> Any:
    prepared = prepare(folder / "run", Mixture(**BASE))
    return open_stream(folder / "run", prepared.bins, Mixture(**{**BASE, **changes}))


def test_domains_by_shard_globs(folder: Path) -> None:
    stream = open_with(folder, domains={"first": {"shards": ["*/*-00000"]}, "rest": {"shards": ["en/*1", "zh/*1"]}})
    names = {
        name: [s.name for s in r.documents.shards]
        for name, r in zip(stream.domains, stream.phases[0].readers, strict=True)
    }
    assert names == {"first": ["en/en-00000", "zh/zh-00000"], "rest": ["en/en-00001", "zh/zh-00001"]}
    with pytest.raises(ConfigError, match=r"domains\.a\.shards: found 'fr/\*', which matches no shard"):
        open_with(folder, domains={"a": {"shards": ["fr/*"]}})
    with pytest.raises(ConfigError, match=r"domains\.en\.shards: found en/en-00000, which domain all has too"):
        open_with(folder, domains={"all": {"shards": ["*"]}, "en": {}})
    with pytest.raises(ConfigError, match="the same in every phase"):
        open_with(folder, domains={"en": {}}, phases=[{"tokens": 9}, {"domains": {"en": {"shards": ["zh/*"]}}}])


def test_temperature_flattens_shares(folder: Path) -> None:
    shares = {}
    for t in (0.5, 1.0, 2.0):
        phase = open_with(folder, domains={"en": {"weight": 9}, "zh": {"weight": 1}}, temperature=t).phases[0]
        shares[t] = {name: share.weight for name, share in phase.shares.items()}
    assert shares[1.0]["en"] == pytest.approx(0.9)
    assert shares[2.0]["en"] == pytest.approx(0.75)  # 3 : 1
    assert shares[0.5]["en"] == pytest.approx(81 / 82)


def test_boosts_raise_some_documents(folder: Path, tmp_path: Path) -> None:
    ids = [str((0 << 27) + 5 + row) for row in (1, 4)]
    (tmp_path / "values.txt").write_text("# a curated set\n" + "\n".join(ids) + "\n\n")
    values = {"factor": 3, "shards": ["en/*"], "documents": str(tmp_path / "values.txt")}
    boosted = open_with(folder, boosts=[values, {"factor": 0.5, "shards": ["zh/zh-00001"]}])
    en, zh = (reader.documents for reader in boosted.phases[0].readers)
    held = [bool(flag) for flag in en.shards[0].index.heldout]
    assert [weight / (1 << 24) for weight in en.weights[:6].tolist()] == [0.0 if held[0] else 1.0, 3, 1, 1, 3, 1]
    assert en.passes == 3 and set(zh.weights[60:].tolist()) == {0, 1 << 23} and (1 << 24) in zh.weights[:60].tolist()
    assert boosted.manifest != open_with(folder).manifest
    (tmp_path / "values.txt").write_text("12\nabc")
    with pytest.raises(ConfigError, match=r"boosts\.0\.documents: found 'abc' in line 2 of"):
        open_with(folder, boosts=[{"factor": 3, "documents": str(tmp_path / "values.txt")}])
    with pytest.raises(TamisError, match=r"found weights in .*; expected 0…64"):
        open_with(folder, boosts=[{"factor": 64}, {"factor": 2}])


def test_a_curve_is_asked_for_by_name_or_hash(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    for curve, name, weight in (("aa11", "flat", 2.0), ("ab22", "", 3.0)):
        for domain in ("en", "zh"):
            write_weights(run, domain, [weight] * 120, curve)
        manifest_path(run / "weights" / curve).write_text(json.dumps({"config": {"name": name}, "files": []}))
    weights = {}
    for asked in ("current", "none", "flat", "aa", "ab22"):
        stream = prepare(run, Mixture(**{**BASE, "curve": asked})).stream
        weights[asked] = max(stream.phases[0].readers[0].documents.weights.tolist()) >> 24
    assert weights == {"current": 3, "none": 1, "flat": 2, "aa": 2, "ab22": 3}
    for asked, said in (("steep", "is no set of curves"), ("a", "names 2 sets of curves")):
        with pytest.raises(ConfigError, match=f"curve: found '{asked}', which {said}.*none, flat \\(aa11\\), ab22"):
            prepare(run, Mixture(**{**BASE, "curve": asked}))


def test_phases_before_the_last_must_end(folder: Path) -> None:
    from corpus.config import parse

    with pytest.raises(ConfigError, match="phases.0.tokens: .*as only the last phase may go on"):
        parse(Mixture, {**BASE, "phases": [{}, {"tokens": 5}]}, "")
    rows = json_of("mixture", "plan", write(folder, **PHASES), "--tokens", "4000")
    assert [row["phase"] for row in rows] == [0, 0, 1] and 900 < rows[2]["tokens"] < 1100


# -------------------------------------------------------------------------------------- what a review found, and more


def test_a_star_and_a_named_part_of_a_domain_do_not_mix(folder: Path) -> None:
    with pytest.raises(ConfigError, match="the same in every phase"):
        open_with(folder, phases=[{"tokens": 64}, {"domains": {"en": {"shards": ["en/en-00000"]}}}])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"boosts": [{"factor": 2, "shards": ["enn/*"]}]},
            r"boosts\.0\.shards: found \['enn/\*'\], which matches no shard",
        ),
        (
            {"domains": {"en": {"weight": 5}, "zh": {"weight": 1}}, "temperature": 0.001},
            r"domains\.zh\.weight: found 1, which",
        ),
    ],
)
def test_what_touches_nothing_is_refused(folder: Path, change: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        open_with(folder, **change)


def test_boosts_of_unknown_documents_are_refused(folder: Path, tmp_path: Path) -> None:
    for text, said in (("3\n", "none of whose 1 doc_ids"), ("9" * 25, "found '9999.* in line 1 of")):
        (tmp_path / "ids.txt").write_text(text)
        with pytest.raises(ConfigError, match=said):
            open_with(folder, boosts=[{"factor": 2, "documents": str(tmp_path / "ids.txt")}])


def test_a_first_look_sees_the_first_phase_and_globs_of_any_shard(tmp_path: Path) -> None:
    write_run(tmp_path / "run")
    phases = [{"tokens": 999, "sequence_length": 64, "packing": "best_fit"}, {}]
    path = write(tmp_path, domains={"b": {"shards": ["en/en-00001"]}, "c": {"shards": ["zh/*"]}}, phases=phases)
    rows = json_of("tokens", "stream", path, "--first-look", "--steps", "0:2")
    assert {row["domain"] for row in rows} == {"b", "c"} and max(row["cu_seqlens"][-1] for row in rows) > 32
    write_weights(tmp_path / "run", "en", [0.1] * 120)
    write_weights(tmp_path / "run", "zh", [0.1] * 120)
    path = write(tmp_path, domains={"en": {"max_epochs": 1}})
    assert len(json_of("tokens", "stream", path, "--first-look", "--steps", "0:4")) == 32


def test_padding_of_rare_documents_is_measured_where_they_come(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    write_weights(run, "en", [0.0] * 100 + [0.02] * 20)
    write_weights(run, "zh", [1.0] * 120)
    stream = prepare(run, Mixture(**{**BASE, "domains": {"en": {"max_epochs": 9999}}, "packing": "document"})).stream
    (row,) = plan_mixture(stream, 100_000)
    assert row.padding > 0.1
    real = stream.epochs_needed(100_000 // 32)["en"]
    assert row.ends == pytest.approx(real, rel=0.2)


@pytest.mark.parametrize("name", ["weights", "draws", "starts", "block_shards"])
def test_a_damaged_index_is_made_again(tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture) -> None:
    run = write_run(tmp_path / "run")
    expected = prepare(run, Mixture(**BASE)).stream.batch(0, 40).tokens
    for path in (run / "tokens").glob(f"*/index/*/{name}.npy"):
        data = bytearray(path.read_bytes())
        data[-3] ^= 1
        path.write_bytes(bytes(data))
    assert (prepare(run, Mixture(**BASE)).stream.batch(0, 40).tokens == expected).all()
    assert "damaged index" in caplog.text


def test_damaged_manifests_are_one_sentence(tmp_path: Path) -> None:
    bins = prepare(write_run(tmp_path / "run"), Mixture(**BASE)).bins
    place = Path(str(bins.cache)).parent
    from sampler.bins.manifests import open_bins

    for name, change, said in (
        ("bins.json", {"dtype": "<u8"}, "bins.json: is damaged .*dtype"),
        ("bins.json", {"eos_id": "x"}, "bins.json: is damaged .*eos_id"),
        ("en/manifest.json", {"shards": [None]}, "manifest.json: is damaged .*shards"),
        ("en/manifest.json", {"shards": None}, "manifest.json: is damaged .*shards"),
    ):
        path = place / name
        whole = path.read_text()
        path.write_text(json.dumps({**json.loads(whole), **change}))
        with pytest.raises(TamisError, match=said) as caught:
            open_bins(str(place))
        assert "\n" not in str(caught.value)
        path.write_text(whole)
    head = json.loads((place / "bins.json").read_text())
    (place / "bins.json").write_text(json.dumps({**head, "dtype": "<u4"}))
    with pytest.raises(TamisError, match=r"\.idx: does not fit its manifest"):
        _ = open_bins(str(place)).domains["en"][0].index


def test_places_that_cannot_be_are_one_sentence(folder: Path, tmp_path: Path) -> None:
    model = next((folder / "run" / "tokenizer").glob("*/tokenizer.model"))
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(TamisError, match="file.*(cannot be|holds no)"):
        invoke("tokens", "build", folder / "run", "--tokenizer", model, "--out", tmp_path / "file")
    with pytest.raises(TamisError, match="holds no finished token bins"):
        invoke("tokens", "verify", tmp_path / "file")
    with pytest.raises(TamisError, match="cannot be written"):
        invoke("mixture", "plot", write(folder), "--out", tmp_path / "file" / "plot.html")

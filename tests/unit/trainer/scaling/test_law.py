"""The scaling law: parameters come back, the interval covers its share, compute is counted right, misuse is said."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from cli.main import app
from tamis.errors import ConfigError, TamisError
from tests.conftest import REPOSITORY

pytest.importorskip("scipy")

from trainer.config import ModelConfig  # noqa: E402
from trainer.scaling.law import Point, fit_scaling_law, plot_band, predict, product_weights, training_flops  # noqa: E402
from trainer.scaling.power_law import PowerLaw, fit_power_law  # noqa: E402
from trainer.scaling.runs import read_suite  # noqa: E402

B, FLOOR = -0.15, 1.7
A = 1.5 * 1e15**-B  # the smallest run is 1.5 nats above the floor
TINY = ModelConfig(width=32, layers=2, heads=2)


def loss_at(flops: Any) -> Any:
    return A * np.asarray(flops, float) ** B + FLOOR


def noisy(seed: int, runs: int, deviation: float, relative: bool = True, beyond: float = 30) -> tuple[Any, Any, float]:
    """Computes over three decades, losses, and the loss of one more run beyond them."""
    rng = np.random.default_rng(seed)
    flops = np.append(np.geomspace(1e15, 1e18, runs), 1e18 * beyond)
    true = loss_at(flops)
    losses = true + deviation * (true if relative else 1) * rng.standard_normal(runs + 1)
    return flops[:-1], losses[:-1], losses[-1]


@pytest.mark.parametrize("relative", [False, True])
def test_exact_points_give_the_parameters_back(relative: bool) -> None:
    flops = np.geomspace(1e15, 1e21, 6)
    law = fit_power_law(flops, loss_at(flops), relative=relative)
    assert law.b == pytest.approx(B, rel=1e-3) and law.floor == pytest.approx(FLOOR, rel=1e-3)
    assert law.a == pytest.approx(A, rel=0.02) and law.residual < 1e-5
    assert law(1e24) == pytest.approx(loss_at(1e24), rel=1e-4)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e9])
def test_the_unit_of_compute_does_not_matter(scale: float) -> None:
    flops, losses, _ = noisy(3, 8, 0.003)
    law, other = fit_power_law(flops, losses), fit_power_law(flops * scale, losses)
    assert other.b == pytest.approx(law.b, rel=1e-3) and other.floor == pytest.approx(law.floor, rel=1e-3)
    bounds, moved = law.interval(1e20), other.interval(1e20 * scale)
    assert np.allclose(bounds, moved, rtol=1e-3)


@pytest.mark.slow
def test_errors_hold_the_true_parameters() -> None:
    """By the covariance, within three standard errors, in most of many draws."""
    inside = 0
    for seed in range(40):
        flops, losses, _ = noisy(seed, 12, 0.002)
        law = fit_power_law(flops, losses, relative=True)
        apart = (math.log(law.a) - math.log(A), law.b - B, law.floor - FLOOR)
        inside += all(abs(x) <= 3 * error for x, error in zip(apart, law.errors, strict=True))
    assert inside >= 36


@pytest.mark.slow
@pytest.mark.parametrize(("runs", "deviation", "relative"), [(4, 0.01, True), (6, 0.003, True), (15, 0.005, False)])
def test_the_interval_covers_its_share(runs: int, deviation: float, relative: bool) -> None:
    """Thirty times beyond the largest run; 80 draws of a share of 0.9 have a deviation of 0.034."""
    hit = 0
    for seed in range(80):
        flops, losses, wanted = noisy(seed, runs, deviation, relative)
        low, high = fit_power_law(flops, losses, relative=relative).interval(1e18 * 30, 0.9)
        hit += bool(low[0] <= wanted <= high[0])
    assert 0.8 <= hit / 80 <= 0.98


def test_near_the_points_the_interval_is_the_delta_methods() -> None:
    """With many runs and little noise the model is as good as linear there."""
    flops, losses, _ = noisy(5, 60, 0.002, relative=False)
    law = fit_power_law(flops, losses)
    low, high = law.interval(1e17, 0.9)
    from scipy.stats import t

    x = np.geomspace(1e15, 1e18, 60)
    jacobian = np.stack([law.a * x**law.b, law.a * x**law.b * np.log(x), np.ones_like(x)], 1)
    row = np.array([law.a * 1e17**law.b, law.a * 1e17**law.b * math.log(1e17), 1.0])
    scale = np.abs(jacobian).max(0)
    leverage = (row / scale) @ np.linalg.inv((jacobian / scale).T @ (jacobian / scale)) @ (row / scale)
    half = t.ppf(0.95, law.degrees) * law.residual * math.sqrt(1 + leverage)
    assert (high - low)[0] / 2 == pytest.approx(half, rel=0.03)


def test_wider_where_less_is_known() -> None:
    flops, losses, _ = noisy(1, 6, 0.005)
    law = fit_power_law(flops, losses)
    widths = [high[0] - low[0] for low, high in (law.interval(x) for x in (1e17, 1e19, 1e21))]
    assert widths == sorted(widths)
    assert law.interval(1e19, 0.5)[1] < law.interval(1e19, 0.95)[1]
    assert law.interval(1e19, 0.9, noise=0)[1] < law.interval(1e19, 0.9)[1]
    assert law.interval(1e30)[0] >= 0
    x, middle, low, high = plot_band(law, 1e20)
    assert len(x) == 80 and (low <= middle).all() and (middle <= high).all() and x[-1] == pytest.approx(1e20)


def test_compute_counts_products_only() -> None:
    """Against the model itself: every matrix but the embedding."""
    torch = pytest.importorskip("torch")
    from trainer.model import Transformer

    with torch.device("meta"):
        model = Transformer(TINY, 500, 1)
    products = sum(p.numel() for n, p in model.named_parameters() if p.ndim == 2 and n != "embedding.weight")
    assert product_weights(TINY, 500) == products
    assert training_flops(TINY, 500, 128, 1000) == 1000 * (6 * products + 12 * 2 * 32 * 128)


def test_the_reports_7b_on_its_tokens() -> None:
    """6 · 7.0e9 · 2.6e12 is 1.09e23; attention at 4,096 tokens adds some 15 %."""
    shape = ModelConfig(width=4096, layers=32, heads=32)
    assert training_flops(shape, 125_696, 4096, 2.6e12) == pytest.approx(1.26e23, rel=0.02)


def points(flops: Any, losses: Any) -> list[Point]:
    return [Point(name=f"r{i}", flops=f, loss=x) for i, (f, x) in enumerate(zip(flops, losses, strict=True))]


def test_what_is_no_suite_is_refused() -> None:
    flops, losses, _ = noisy(1, 4, 0.001)
    assert isinstance(fit_scaling_law(points(flops, losses)), PowerLaw)
    with pytest.raises(ConfigError, match="found 3 runs of 3 different computes; .*at least 4 runs"):
        fit_scaling_law(points(flops[:3], losses[:3]))
    with pytest.raises(ConfigError, match="found 4 runs of 2 different computes"):
        fit_scaling_law(points([1e15, 1e15, 1e16, 1e16], losses))
    with pytest.raises(ConfigError, match="do not fall"):
        fit_scaling_law(points(flops, losses[::-1]))
    with pytest.raises(ConfigError, match="r1.loss: found nan"):
        fit_scaling_law(points(flops, [3, math.nan, 2, 1]))


def test_predicted_beyond() -> None:
    flops, losses, _ = noisy(2, 7, 0.001)
    found = predict(fit_scaling_law(points(flops, losses)), 5e19)
    assert found.beyond == pytest.approx(50) and found.low < loss_at(5e19) < found.high
    assert found.loss == pytest.approx(loss_at(5e19), rel=0.03)


# ------------------------------------------------------------------------------------------------------- the command


def invoke(*arguments: object) -> Any:
    result = CliRunner().invoke(app, ["scaling", "fit", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


@pytest.fixture
def table(tmp_path: Path) -> Path:
    flops, losses, _ = noisy(2, 7, 0.001)
    rows = "".join(
        f"{f!r},{x!r},run {i}\n" for i, (f, x) in enumerate(zip(flops.tolist(), losses.tolist(), strict=True))
    )
    (tmp_path / "points.csv").write_text("flops,loss,name\n" + rows)
    return tmp_path / "points.csv"


def folder(path: Path, flops: float | None, loss: float, vocab_size: int = 500, width: int = 32) -> Path:
    """A finished training, as the loop leaves it."""
    path.mkdir(parents=True)
    summary = {"name": path.name, "steps": 10, "tokens": 10 * 4 * 64, "vocab_size": vocab_size, "heldout_loss": loss}
    summary |= {"sequence_length": 64} if flops is None else {}
    (path / "summary.json").write_text(json.dumps(summary | ({} if flops is None else {"flops": flops})))
    identity = {"model": TINY.model_copy(update={"width": width}).model_dump()}
    (path / "checkpoint.json").write_text(json.dumps({"step": 10, "identity": identity}))
    return path


def test_fit_says_law_prediction_and_draws(table: Path) -> None:
    out = invoke(table, "--predict", "5e19")
    assert "L(C) = " in out and "at 5e+19 FLOPs, 50 times the largest run's" in out and "run 3" in out
    page = table.with_name("law.html")
    found = json.loads(invoke(table, "--predict", "5e19", "--level", 0.5, "--html", page, "--format", "json"))
    assert found["law"]["b"] < 0 and len(found["runs"]) == 7 and found["degrees_of_freedom"] == 4
    assert found["prediction"]["low"] < found["prediction"]["loss"] < found["prediction"]["high"]
    assert "plotly" in page.read_text() and found["html"] == str(page)
    assert json.loads(invoke(table, "--format", "json"))["prediction"] is None


def test_fit_reads_trainings_and_counts_their_compute(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    widths = (16, 32, 48, 64)
    runs = [folder(tmp_path / f"w{w}", None, float(x), width=w) for w, x in zip(widths, (5, 4, 3.5, 3.2), strict=True)]
    suite = read_suite(runs)
    assert suite.vocab_size == 500 and suite.sequence_length == 64
    flops = [training_flops(TINY.model_copy(update={"width": w}), 500, 64, 2560) for w in widths]
    assert [point.flops for point in suite.points] == pytest.approx(flops)
    model = tmp_path / "next.yaml"
    model.write_text(
        "name: next\nmodel: {width: 128, layers: 2, heads: 2}\noptimizer: {max_learning_rate: 0.001, warmup_steps: 1}\n"
        "steps: 20\nglobal_batch: 4\nseed: 1\n"
    )
    wide = TINY.model_copy(update={"width": 128})
    for arguments, tokens in (((), 20 * 4 * 64), (("--tokens", "1e6"), 1e6)):
        found = json.loads(invoke(*runs, "--model", model, *arguments, "--format", "json"))
        assert found["prediction"]["flops"] == pytest.approx(training_flops(wide, 500, 64, tokens))


def test_fit_takes_the_summarys_own_compute_first(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    run = folder(tmp_path / "a", 7e9, 3.0)
    assert read_suite([run]).points == (Point(name="a", flops=7e9, loss=3.0),)
    (run / "checkpoint.json").unlink()
    assert read_suite([run]).sequence_length is None and read_suite([run], 32).sequence_length == 32
    (run / "summary.json").write_text((run / "summary.json").read_text().replace('"flops"', '"other"'))
    with pytest.raises(ConfigError, match="says no `flops`"):
        read_suite([run], 32)
    bare = folder(tmp_path / "b", None, 3.0)
    (bare / "checkpoint.json").unlink()
    with pytest.raises(ConfigError, match="says no `flops`, and no checkpoint beside it says the model"):
        read_suite([bare])


def test_fit_refuses_in_a_sentence(table: Path, tmp_path: Path) -> None:
    def said(*arguments: object) -> str:
        with pytest.raises(TamisError) as caught:
            invoke(*arguments)
        return str(caught.value)

    assert "found no summary.json" in said(tmp_path)
    assert "found no column 'loss'" in said(_written(tmp_path / "a.csv", "flops\n1\n"))
    assert "line 3: found" in said(_written(tmp_path / "b.csv", "flops,loss\n1,2\n1,x\n"))
    assert "no rows" in said(_written(tmp_path / "c.csv", ""))
    assert "cannot be read" in said(tmp_path / "absent.csv")
    assert "--predict: found 'many'" in said(table, "--predict", "many")
    assert "--predict, --model: found both" in said(table, "--predict", "1e20", "--model", "m.yaml")
    assert "--tokens: found without --model" in said(table, "--tokens", "1e9")
    model = REPOSITORY / "conf" / "models" / "tiny.yaml"
    assert "--vocab-size: found nothing" in said(table, "--model", model)
    torch = pytest.importorskip("torch")
    assert torch and "vocab_size: found a 500, b 600" in said(
        folder(tmp_path / "a", 1e9, 3.0), folder(tmp_path / "b", 1e9, 3.0, vocab_size=600)
    )


def _written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def _goes_on(arguments: list[str], trained: Path, whole: dict[str, Any]) -> None:
    """As after a kill in m2, with m1's model file changed since: m0 and m3 are left alone, m2 resumes, m1 is new."""
    from corpus.config import load_config
    from sampler.mixture import load_mixture
    from trainer.config import TrainConfig
    from trainer.loop import train

    second, third = (Path(next(word for word in arguments if word.endswith(f"m{n}.yaml"))) for n in (1, 2))
    data, folder = load_mixture(Path(arguments[arguments.index("--mixture") + 1]))
    shutil.rmtree(trained / "m2")
    train(load_config(TrainConfig, third), data, folder, stop_after=7)
    (trained / "m2" / "summary.json").unlink()
    second.write_text(second.read_text().replace("0.01", "0.02"))
    times = {name: (trained / name / "metrics.jsonl").stat().st_mtime_ns for name in ("m0", "m1", "m3")}
    again = json.loads(CliRunner().invoke(app, arguments, catch_exceptions=False).stdout)
    kept = [name for name, time in times.items() if (trained / name / "metrics.jsonl").stat().st_mtime_ns == time]
    assert kept == ["m0", "m3"]
    losses = [[run["loss"] for run in found["runs"]] for found in (whole, again)]
    assert losses[0][2] == losses[1][2] and losses[0][1] != losses[1][1]
    assert len((trained / "m2" / "metrics.jsonl").read_text().splitlines()) == 16


@pytest.mark.slow
def test_run_trains_a_suite_and_fits_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    from tests.support.sampler_run import SMALL, write_run

    run = write_run(tmp_path / "run")
    _written(
        tmp_path / "mixture.yaml",
        json.dumps({"domains": "*", "sequence_length": 32, "seed": 1, "tokenizer": SMALL, "run": "run"}),
    )
    models = []
    for number, (width, steps) in enumerate(((16, 4), (16, 10), (32, 16), (32, 30))):
        body = {
            "name": f"m{number}",
            "model": {"width": width, "layers": 1, "heads": 2},
            "steps": steps,
            "optimizer": {"max_learning_rate": 0.01, "warmup_steps": 2},
            "global_batch": 4,
            "seed": 1,
            "device": "cpu",
            "heldout_sequences": 8,
        }
        models.append(_written(tmp_path / f"m{number}.yaml", json.dumps(body)))
    arguments = ["scaling", "run", *models, "--mixture", tmp_path / "mixture.yaml", "--predict", "1e12", "--format"]
    result = CliRunner().invoke(app, [*map(str, arguments), "json"], catch_exceptions=False)
    found = json.loads(result.stdout)
    assert [one["name"] for one in found["runs"]] == ["m0", "m1", "m2", "m3"] and found["prediction"]["loss"] > 0
    assert (run / "train" / "m3" / "summary.json").exists()
    _goes_on([*map(str, arguments), "json"], run / "train", found)
    for given, said in ((models[:3], "found 3"), ([*models, models[0]], "'m0' in two model files")):
        with pytest.raises(ConfigError, match=said):
            CliRunner().invoke(
                app, ["scaling", "run", *map(str, given), "--mixture", "absent.yaml"], catch_exceptions=False
            )

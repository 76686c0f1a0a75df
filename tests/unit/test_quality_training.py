"""The training stage of the sentence-quality model: reference sets, balance, evaluation, reproducibility."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus.config import parse
from corpus.errors import ConfigError
from filters.corruption import corrupt
from filters.linear import LinearModel, score
from filters.quality_evaluation import auc
from filters.quality_references import split
from filters.quality_training import QualityTraining, tokens_text, train
from tests.oracles import tokens
from text.arrow import TextColumn

SUBJECTS = {"en": ["the river", "a committee", "the old library", "her report", "the museum"],
            "zh": ["委员会", "长江流域", "这座图书馆", "研究人员", "博物馆"]}  # fmt: skip
VERBS = {"en": ["describes in detail", "was built near", "has long supported", "compares carefully"],
         "zh": ["详细说明了", "长期以来支持", "位于并且连接着", "仔细比较了"]}  # fmt: skip
OBJECTS = {"en": ["the history of the region.", "several methods of measurement.", "the southern districts."],
           "zh": ["这一地区的历史。", "几种不同的测量方法。", "南部的几个县城。"]}  # fmt: skip
SPAM = {"en": ["click here", "best price", "free shipping", "win big", "call now", "limited offer"],
        "zh": ["点击领取", "全场包邮", "加我微信", "限时优惠", "稳赚不赔", "马上拨打"]}  # fmt: skip


def _good(lang: str, seed: int, n: int = 60) -> list[str]:
    rng = random.Random(seed)
    space = " " if lang == "en" else ""
    parts = (SUBJECTS[lang], VERBS[lang], OBJECTS[lang])
    return [" ".join(space.join(rng.choice(p) for p in parts) for _ in range(4)) for _ in range(n)]


def _bad(lang: str, seed: int, n: int = 60) -> list[str]:
    rng = random.Random(seed)
    return [" ".join(rng.choices(SPAM[lang], k=8)) + "!" for _ in range(n)]


def _write(folder: Path, name: str, texts: list[str], **columns: str) -> str:
    lines = (json.dumps({"text": text, **columns}, ensure_ascii=False) for text in texts)
    (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    return f"{name}.jsonl"


def _config(folder: Path, languages: tuple[str, ...] = ("en", "zh")) -> dict[str, object]:
    references = []
    for lang in languages:
        for number, held_out in ((1, False), (2, True)):
            for label, texts in (("good", _good(lang, number)), ("bad", _bad(lang, number))):
                name = f"{lang}_{label}_{number}"
                path = _write(folder, name, texts)
                references.append(
                    {
                        "name": name,
                        "source": name,
                        "label": label,
                        "lang": lang,
                        "paths": [path],
                        "held_out": held_out,
                    }
                )
        references.append(
            {"name": f"{lang}_broken", "source": f"{lang}_good_1", "label": "bad", "lang": lang,
             "paths": [f"{lang}_good_1.jsonl"], "corrupt": True}
        )  # fmt: skip
    return {"references": references, "bucket": 1 << 12, "epoch": 10, "lr": 0.3, "min_count": 1}


def _train(config: dict[str, object], folder: Path, out: str = "model"):  # type: ignore[no-untyped-def]
    return train(parse(QualityTraining, config, "quality"), folder, folder / out)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):  # type: ignore[no-untyped-def]
    folder = tmp_path_factory.mktemp("quality")
    said: list[str] = []
    config = parse(QualityTraining, _config(folder), "quality")
    return folder, train(config, folder, folder / "model", said.append), said


def test_it_tells_good_from_bad_on_held_out_sources(trained) -> None:  # type: ignore[no-untyped-def]
    _, model, said = trained
    for lang in ("en", "zh"):
        found = model.evaluation["languages"][lang]
        assert found["auc_examples"] > 0.95 and found["auc_documents"] > 0.95
        assert set(found["by_bad_source"]) == {f"{lang}_bad_2"}
        cut = found["suggested_cut"]
        assert cut["good_examples_below"] <= 0.02 <= cut["bad_examples_below"]
    assert any("read en_good_1" in line for line in said)


def test_the_balance_is_written_down(trained) -> None:  # type: ignore[no-untyped-def]
    _, model, _ = trained
    for sides in model.evaluation["training"]["examples"].values():
        assert sides["good"]["total"] == sides["bad"]["total"] > 0
        assert sum(sides["bad"]["sets"].values()) == sides["bad"]["total"]
        assert not any(name.endswith("_2") for side in sides.values() for name in side["sets"])
    stored = json.loads((model.folder / "evaluation.json").read_text("utf-8"))
    assert stored == model.evaluation


def test_twice_the_same_bytes_and_nothing_left_behind(trained) -> None:  # type: ignore[no-untyped-def]
    folder, model, _ = trained
    again = _train(_config(folder), folder, "again")
    assert again.digest == model.digest == LinearModel.load(again.folder).digest
    names = sorted(file.name for file in model.folder.iterdir())
    assert names == ["evaluation.json", "logits.npy", "model.json", "word_hashes.npy"]
    for name in names:
        assert (model.folder / name).read_bytes() == (again.folder / name).read_bytes()
    replaced = _train({**_config(folder), "seed": 2}, folder, "again")
    assert replaced.digest != model.digest == LinearModel.load(model.folder).digest
    assert not [entry.name for entry in folder.iterdir() if entry.name.startswith(".")]


def test_a_language_that_cannot_be_measured_says_so(tmp_path) -> None:  # type: ignore[no-untyped-def]
    config = _config(tmp_path, ("en",))
    config["references"] = [r for r in config["references"] if r["name"] != "en_bad_2"]
    found = _train(config, tmp_path).evaluation["languages"]["en"]
    assert found == {"note": "not measured: no held-out set of language 'en' is labelled bad"}


def test_a_failed_training_leaves_the_old_model(trained, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    folder, model, _ = trained
    monkeypatch.setattr(LinearModel, "save", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        _train({**_config(folder), "seed": 5}, folder)
    assert LinearModel.load(model.folder).digest == model.digest
    assert not [entry.name for entry in folder.iterdir() if entry.name.startswith(".")]


def test_where_and_fields_and_plain_text(tmp_path) -> None:  # type: ignore[no-untyped-def]
    config = _config(tmp_path, ("en",))
    _write(tmp_path, "mixed", _good("en", 3), kind="article")
    with (tmp_path / "mixed.jsonl").open("a", encoding="utf-8") as file:
        file.writelines(json.dumps({"text": text, "kind": "advert"}) + "\n" for text in _bad("en", 3))
    (tmp_path / "plain.txt").write_text("\n\n".join(_good("en", 4)), "utf-8")
    config["references"] += [
        {"name": "mixed", "source": "mixed", "label": "bad", "lang": "en", "paths": ["mixed.jsonl"],
         "where": {"kind": "advert"}, "split": "document"},
        {"name": "plain", "source": "plain", "label": "good", "lang": "en", "paths": ["*.txt"],
         "split": "line"},
    ]  # fmt: skip
    sources = {source["name"]: source for source in _train(config, tmp_path).evaluation["sources"]}
    assert sources["mixed"]["documents"] == sources["mixed"]["examples"] == 60
    assert sources["plain"]["examples"] == 60 and sources["plain"]["documents"] == 1
    assert sources["mixed"]["mean_example_score"] < 0.5 < sources["plain"]["mean_example_score"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"paths": ["nothing*.jsonl"]}, r"references\[0\] \(en_good_1\)\.paths\[0\]: .*matches no file"),
        ({"corrupt": True}, "must be 'bad'"),
        ({"held_out": True}, "both held out and trained on"),
        ({"name": "en_good_2"}, "two reference sets are called 'en_good_2'"),
        ({"label": "fine"}, "quality.references.0.label"),
        ({"wehre": {}}, "references.0.wehre: unknown key"),
        ({"where": {"kind": "none"}}, r"references\[0\] \(en_good_1\): no text of 5 tokens"),
    ],
    ids=str,
)
def test_mistakes_are_named(tmp_path, change, message) -> None:  # type: ignore[no-untyped-def]
    config = _config(tmp_path, ("en",))
    config["references"][0].update(change)
    with pytest.raises(ConfigError, match=message):
        _train(config, tmp_path)
    assert not (tmp_path / "model").exists()


def test_a_held_out_set_that_is_trained_on_is_refused(tmp_path) -> None:  # type: ignore[no-untyped-def]
    config = _config(tmp_path, ("en",))
    (tmp_path / "en_good_2.jsonl").write_bytes((tmp_path / "en_good_1.jsonl").read_bytes())
    config["max_sentences_per_source"] = 100_000
    _write(tmp_path, "en_bad_1", _bad("en", 1, 900))
    with pytest.raises(ConfigError, match="trained on too"):
        _train(config, tmp_path)


def test_corruption_is_seeded_and_breaks_what_it_touches() -> None:
    for lang in ("en", "zh"):
        column = TextColumn.from_texts([*_good(lang, 1, 30), "", "？"])
        broken = corrupt(column, 1, "set")
        assert broken == corrupt(column, 1, "set")
        assert broken != corrupt(column, 2, "set") and broken != corrupt(column, 1, "other")
        assert len(broken) == len(column) and broken[30] == ""
        for i in range(30):
            assert tokens(broken[i]) != tokens(column.text_at(i))
        first = corrupt(TextColumn.from_texts([column.text_at(0)]), 1, "set")
        assert first == broken[:1], "a document's corruption does not depend on the others"


@pytest.mark.parametrize("how", ["sentence", "line", "document"])
def test_splits_tile_the_documents(how) -> None:  # type: ignore[no-untyped-def]
    texts = ["", "One. Two.\n\nThree", "\n", "无。\n有！\n", ""]
    column = TextColumn.from_arrow(TextColumn.from_texts(["gone\n", *texts]).to_arrow().slice(1))
    spans = split(column, how)
    counts = {"sentence": None, "line": [0, 3, 1, 2, 0], "document": [0, 1, 1, 1, 0]}[how]
    assert counts is None or np.diff(spans.ptr).tolist() == counts
    for d, text in enumerate(texts):
        own = [int(s) for s in spans.starts[spans.ptr[d] : spans.ptr[d + 1]]]
        assert own == sorted(set(own)) and own[:1] == ([0] if text else [])


@settings(max_examples=300, deadline=None)
@given(st.text())
def test_tokens_text_equals_the_oracle(text: str) -> None:
    assert tokens_text(text) == " ".join(tokens(text))


_SCORES = st.lists(st.sampled_from([0.0, 0.1, 0.1000001, 0.5, 0.9, 1.0]), min_size=1, max_size=30)


@settings(max_examples=200, deadline=None)
@given(_SCORES, _SCORES)
def test_auc_equals_its_slow_twin(good: list[float], bad: list[float]) -> None:
    wins = sum(1.0 if g > b else 0.5 if g == b else 0.0 for g in good for b in bad)
    assert auc(np.array(good), np.array(bad)) == pytest.approx(wins / (len(good) * len(bad)))


def test_auc_needs_both_sides() -> None:
    with pytest.raises(ValueError, match="both labels"):
        auc(np.zeros(0), np.ones(1))


def test_a_stored_model_scores_alike(trained) -> None:  # type: ignore[no-untyped-def]
    _, model, _ = trained
    column = TextColumn.from_texts([*_good("zh", 9, 5), *_bad("zh", 9, 5)])
    scores = score(LinearModel.load(model.folder), column)
    assert scores[:5].min() > scores[5:].max()

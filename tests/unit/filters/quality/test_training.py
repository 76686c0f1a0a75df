"""The training stage of the sentence-quality model: reference sets, balance, evaluation, reproducibility."""

from __future__ import annotations

import itertools
import json
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus.config import parse
from filters.linear.model import LinearModel, score
from filters.quality.corruption import corrupt
from filters.quality.evaluation import auc
from filters.quality.fit_heads import out_of_fold
from filters.quality.model import SentenceModel
from filters.quality.references import read_examples, split
from filters.quality.training import QualityTraining, balance, tokens_text, train
from tamis.errors import ConfigError
from tests.oracles.text import tokens
from tests.support.examples import examples
from text.arrow import TextColumn
from text.segment import sentences

SUBJECTS = {
    "en": ["the river", "a committee", "the old library", "her report", "the museum"],
    "zh": ["委员会", "长江流域", "这座图书馆", "研究人员", "博物馆"],
}
VERBS = {
    "en": ["describes in detail", "was built near", "has long supported", "compares carefully"],
    "zh": ["详细说明了", "长期以来支持", "位于并且连接着", "仔细比较了"],
}
OBJECTS = {
    "en": ["the history of the region.", "several methods of measurement.", "the southern districts."],
    "zh": ["这一地区的历史。", "几种不同的测量方法。", "南部的几个县城。"],
}
SPAM = {
    "en": ["click here", "best price", "free shipping", "win big", "call now", "limited offer"],
    "zh": ["点击领取", "全场包邮", "加我微信", "限时优惠", "稳赚不赔", "马上拨打"],
}


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
                    {"name": name, "source": name, "label": label, "lang": lang, "paths": [path], "held_out": held_out}
                )
        references.append(
            {
                "name": f"{lang}_broken",
                "source": f"{lang}_good_1",
                "label": "bad",
                "lang": lang,
                "paths": [f"{lang}_good_1.jsonl"],
                "corrupt": True,
            }
        )
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
    assert again.digest == model.digest == SentenceModel.load(again.folder).digest
    names = sorted(file.name for file in model.folder.iterdir())
    assert names == ["evaluation.json", "logits.npy", "model.json", "word_hashes.npy"]
    for name in names:
        assert (model.folder / name).read_bytes() == (again.folder / name).read_bytes()
    replaced = _train({**_config(folder), "seed": 2}, folder, "again")
    assert replaced.digest != model.digest == SentenceModel.load(model.folder).digest
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
    assert SentenceModel.load(model.folder).digest == model.digest
    assert not [entry.name for entry in folder.iterdir() if entry.name.startswith(".")]


def test_where_and_fields_and_plain_text(tmp_path) -> None:  # type: ignore[no-untyped-def]
    config = _config(tmp_path, ("en",))
    _write(tmp_path, "mixed", _good("en", 3), kind="article")
    with (tmp_path / "mixed.jsonl").open("a", encoding="utf-8") as file:
        file.writelines(json.dumps({"text": text, "kind": "advert"}) + "\n" for text in _bad("en", 3))
    (tmp_path / "plain.txt").write_text("\n\n".join(_good("en", 4)), "utf-8")
    config["references"] += [
        {
            "name": "mixed",
            "source": "mixed",
            "label": "bad",
            "lang": "en",
            "paths": ["mixed.jsonl"],
            "where": {"kind": "advert"},
            "split": "document",
        },
        {"name": "plain", "source": "plain", "label": "good", "lang": "en", "paths": ["*.txt"], "split": "line"},
    ]
    sources = {source["name"]: source for source in _train(config, tmp_path).evaluation["sources"]}
    assert sources["mixed"]["documents"] == sources["mixed"]["examples"] == 60
    assert sources["plain"]["examples"] == 60 and sources["plain"]["documents"] == 1
    assert sources["mixed"]["mean_example_score"] < 0.5 < sources["plain"]["mean_example_score"]


NAMES = ["Ada", "Ben", "Cleo", "Dora", "Emil", "Finn", "Greta", "Hugo"]
NOUNS = ["river", "market", "school", "bridge", "garden", "station", "harbour", "library"]


def _pages(seed: int, n: int = 40) -> list[tuple[str, str]]:
    """Pages of a menu, an article and a footer of the same words; with the article alone."""
    rng = random.Random(seed)

    def words() -> list[str]:
        return [rng.choice(NOUNS) for _ in range(rng.randint(5, 9))]

    def item() -> str:
        return " ".join(words()).title()

    def prose() -> str:
        return f"{rng.choice(NAMES)} saw the {', the '.join(words())}."

    made = []
    for _ in range(n):
        main = " ".join(prose() for _ in range(6))
        made.append(("\n".join([*(item() for _ in range(5)), main, *(item() for _ in range(4))]), main))
    return made


def _page_references(folder: Path, sources: int) -> dict[str, object]:
    references = []
    for number in range(sources + 1):
        name = f"site_{number}"
        rows = [json.dumps({"text": text, "main": main, "site": f"{name}.example"}) for text, main in _pages(number)]
        (folder / f"{name}.jsonl").write_text("\n".join(rows) + "\n", "utf-8")
        common = {
            "source": name,
            "lang": "en",
            "paths": [f"{name}.jsonl"],
            "where": {"site": "site_*"},
            "held_out": number == sources,
        }
        references.append({"name": f"{name}_main", "label": "good", "inside": "main", **common})
        references.append({"name": f"{name}_rest", "label": "bad", "outside": "main", **common})
    return {"references": references, "bucket": 1 << 12, "epoch": 5, "lr": 0.2, "min_count": 1, "heads": True}


@pytest.mark.slow
def test_heads_hear_form_and_neighbours_on_pages_with_a_main_content(tmp_path) -> None:  # type: ignore[no-untyped-def]
    config = _page_references(tmp_path, 3)
    trained = _train(config, tmp_path)
    found = trained.evaluation["languages"]["en"]
    assert found["auc_documents"] is None, "a part of a page is no document"
    assert found["examples"] == {"good": 240, "bad": 360}
    pages = found["pages"]["site_3"]
    assert found["auc_examples"] > 0.99 and pages["auc_examples"] == found["auc_examples"]
    assert pages["rest_below"] > 0.9 and pages["main_below"] <= 0.02
    again = _train(config, tmp_path, "again")
    assert again.digest == trained.digest == SentenceModel.load(again.folder).digest
    names = sorted(file.name for file in trained.folder.iterdir())
    assert {"heads.json", "heads_edges.npy", "heads_points.npy", "model.json", "evaluation.json"} < set(names)
    for name in names:
        assert (trained.folder / name).read_bytes() == (again.folder / name).read_bytes()
    page = TextColumn.from_texts(["Garden School\nAda saw the river, the market, the school, the river, the bridge."])
    model, spans = SentenceModel.load(trained.folder), sentences(page)
    menu, prose = model.score_alone(page, spans).tolist()
    assert menu < 0.5 < prose


def test_the_sources_that_words_have_not_seen(tmp_path) -> None:  # type: ignore[no-untyped-def]
    """Each fold's words are trained without the sets that they score."""
    config = parse(QualityTraining, _page_references(tmp_path, 3), "quality")
    examples = [read_examples(r, f"references[{i}]", tmp_path, 1, 5, 10_000) for i, r in enumerate(config.references)]
    chosen = balance(examples, 10_000, 1)
    asked: list[set[str]] = []

    def fit(part):  # type: ignore[no-untyped-def]
        asked.append({e.reference.source for e, picks in zip(examples, part, strict=True) if picks})
        return LinearModel(("good", "bad"), np.arange(1, 4, dtype=np.uint64), -1, 0, np.full((3, 2), 1.0, np.float32))

    found = out_of_fold(examples, chosen, fit)
    assert asked == [{"site_1", "site_2"}, {"site_0", "site_2"}, {"site_0", "site_1"}]
    assert [scores is None for scores in found] == [e.reference.held_out for e in examples]
    for e, scores in zip(examples, found, strict=True):
        assert scores is None or len(scores) == len(e.spans.starts)


def test_heads_want_several_sources(tmp_path) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ConfigError, match=r"heads: found True; .*at least 3 good sources .*there are 2 in 'en'"):
        _train(_page_references(tmp_path, 2), tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inside": "main", "outside": "main"}, "outside: found 'main'; expected null beside inside"),
        (
            {"label": "bad", "inside": "main", "corrupt": True},
            "inside: found .*; expected null, as corrupted and packaged",
        ),
        ({"inside": "none"}, r"references\[0\] \(en_good_1\): found no text of 5 tokens"),
        ({"paths": ["nothing*.jsonl"]}, r"references\[0\] \(en_good_1\)\.paths\[0\]: .*matches no file"),
        ({"corrupt": True}, "label: found .*; expected 'bad'"),
        ({"held_out": True}, "either held out or trained on"),
        ({"name": "en_good_2"}, "two sets are called 'en_good_2'"),
        ({"label": "fine"}, "quality.references.0.label"),
        ({"wehre": {}}, "references.0.wehre: unknown key"),
        ({"where": {"kind": "none"}}, r"references\[0\] \(en_good_1\): found no text of 5 tokens"),
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


@examples(300)
@given(st.text())
def test_tokens_text_equals_the_oracle(text: str) -> None:
    assert tokens_text(text) == " ".join(tokens(text))


_SCORES = st.lists(st.sampled_from([0.0, 0.1, 0.1000001, 0.5, 0.9, 1.0]), min_size=1, max_size=30)


@examples(200)
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
    scores = SentenceModel.load(model.folder).score(column, sentences(column))
    documents = [scores[a:b].mean() for a, b in itertools.pairwise(sentences(column).ptr.tolist())]
    assert min(documents[:5]) > max(documents[5:])
    words = score(LinearModel.load(model.folder), column)
    assert words[:5].min() > words[5:].max()

"""The tokenizer: exact round trips, the same bytes again, whole documents by domain, clear refusals."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import sentencepiece
from hypothesis import given
from hypothesis import strategies as st

from sampler.published import list_shards
from sampler.tokenizer.model import Tokenizer, open_tokenizer, tokenizer_for
from sampler.tokenizer.sample import draw, fill_shares, plan_sample, resolve_factors
from sampler.tokenizer.training import TokenizerConfig, train_model
from tamis.errors import ConfigError, TamisError
from tests.support.sampler_run import SMALL, texts, write_run, write_shard


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def tokenizer(run: Path) -> Tokenizer:
    return tokenizer_for(run, list_shards(run), TokenizerConfig(**SMALL), 1)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "The miller opened the gate.",
        "two  spaces,   three, \t tab\tand\n\n\nnewlines \n ",
        "\n",
        "  indented\n    def f(x):\r\n\treturn x\n",
        "水流过木轮，石磨开始转动。\n\n第二段　全角空格",
        "naïve café e\u0301 ﬁ ① Ⅳ",  # nothing is normalised
        "🙂👩‍👩‍👧 \U0001f9ff 𠀀 \u200b\ufeff\u00a0",
        "</s><s><unk><0x0A>",
        "nul \x00 and bell \x07",
        "1234567890",
    ],
)
def test_round_trip(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer.decode(tokenizer.encode(text, bos=True, eos=True)) == text
    assert tokenizer.encode_batch([text, text])[1] == tokenizer.encode(text)


def test_the_one_character_that_does_not_survive(tokenizer: Tokenizer) -> None:
    assert tokenizer.decode(tokenizer.encode("a▁b")) == "a b"


def test_settings_hold(tokenizer: Tokenizer) -> None:
    pieces = [tokenizer.processor.id_to_piece(i) for i in range(tokenizer.vocab_size)]
    assert tokenizer.vocab_size == SMALL["vocab_size"]
    assert not [piece for piece in pieces[259:] if len(piece) > 1 and any(c.isdigit() for c in piece)]
    assert tokenizer.encode("\n") == [pieces.index("<0x0A>")]
    assert len(tokenizer.encode("12345")) == 5
    assert tokenizer.encode("", bos=True, eos=True) == [1, 2]
    assert tokenizer.eos_id not in tokenizer.encode("</s>")


def test_same_input_same_bytes(run: Path, tokenizer: Tokenizer) -> None:
    shards, config = list_shards(run), TokenizerConfig(**SMALL)
    first = train_model(shards, config, 1).model
    assert first == train_model(shards, config, 1).model
    assert str(run).encode() not in first
    half = TokenizerConfig(vocab_size=500, sample_bytes=12_000)
    assert train_model(shards, half, 1).model != train_model(shards, half, 2).model  # another sample


def test_stored_and_found_again(run: Path, tokenizer: Tokenizer) -> None:
    folder = run / "tokenizer" / tokenizer.digest[:12]
    before = (folder / "tokenizer.model").stat().st_mtime_ns
    again = tokenizer_for(run, list_shards(run), TokenizerConfig(**SMALL), 1)
    assert again.digest == tokenizer.digest
    assert (folder / "tokenizer.model").stat().st_mtime_ns == before
    assert (folder / "tokenizer.json").exists()


def test_held_out_documents_teach_nothing(tmp_path: Path) -> None:
    documents = [text + ("龘" if row in (2, 5) else "") for row, text in enumerate(texts("zh", 60))]
    write_shard(tmp_path / "shards" / "zh" / "a.parquet", documents, 1, heldout={2, 5})
    found = tokenizer_for(tmp_path, list_shards(tmp_path), TokenizerConfig(vocab_size=450, character_coverage=1), 1)
    assert found.processor.piece_to_id("龘") == found.processor.unk_id()
    assert found.processor.piece_to_id("水") != found.processor.unk_id()


@pytest.mark.parametrize(("size", "said"), [(50_000, "at most"), (300, "at least")])
def test_vocabulary_that_does_not_fit(run: Path, size: int, said: str) -> None:
    with pytest.raises(ConfigError, match=f"tokenizer.vocab_size.*{size}.*{said}"):
        tokenizer_for(run, list_shards(run), TokenizerConfig(vocab_size=size), 1)
    assert not list((run / "tokenizer").glob("*.tmp"))


def test_no_text_at_all(tmp_path: Path) -> None:
    write_shard(tmp_path / "shards" / "en" / "a.parquet", ["", "held"], 1, heldout={1})
    with pytest.raises(TamisError, match="no text"):
        tokenizer_for(tmp_path, list_shards(tmp_path), TokenizerConfig(), 1)


def test_corrupt_model_is_refused(tmp_path: Path) -> None:
    run = write_run(tmp_path)
    found = tokenizer_for(run, list_shards(run), TokenizerConfig(**SMALL), 1)
    path = run / "tokenizer" / found.digest[:12] / "tokenizer.model"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(TamisError, match="tokenizer.model.*corrupt"):
        tokenizer_for(run, list_shards(run), TokenizerConfig(**SMALL), 1)


def test_documents_are_drawn_whole_and_by_domain(tmp_path: Path) -> None:
    shards = list_shards(write_run(tmp_path, ("code", "web"), count=1000))
    every = {domain: set(texts(domain, 1000)) for domain in shards}
    plan = plan_sample(shards, 60_000, {"code": 2.0})
    drawn = list(draw(shards, plan, 3))
    code, web = plan["code"], plan["web"]
    assert code.share == pytest.approx(2 * web.share) and web.share < 0.5
    assert len(drawn) == code.documents + web.documents
    assert set(drawn) <= every["code"] | every["web"]
    assert sum(len(text.encode()) for text in drawn) == code.bytes + web.bytes
    assert 50_000 < code.bytes + web.bytes < 70_000
    assert code.documents / code.of_documents == pytest.approx(code.share, abs=0.06)
    assert drawn == list(draw(shards, plan_sample(shards, 60_000, {"code": 2.0}), 3))
    assert drawn != list(draw(shards, plan_sample(shards, 60_000, {"code": 2.0}), 4))
    assert plan_sample(shards, 60_000, {"cod?": 2.0})["code"].share == code.share
    larger = set(draw(shards, plan_sample(shards, 90_000, {"code": 2.0}), 3))
    assert set(drawn) < larger


def test_sizes_are_those_of_the_training_split(tmp_path: Path) -> None:
    write_shard(tmp_path / "shards" / "en" / "a.parquet", ["ab", "水", "held out", ""], 1, heldout={2})
    sample = plan_sample(list_shards(tmp_path), 10, {})["en"]
    assert (sample.of_documents, sample.of_bytes, sample.share) == (3, 5, 1.0)


def test_a_factor_changes_the_vocabulary_and_none_leaves_a_domain_out(run: Path) -> None:
    shards = list_shards(run)
    small = {"vocab_size": 500, "sample_bytes": 12_000}
    plain = train_model(shards, TokenizerConfig(**small), 1)
    without = train_model(shards, TokenizerConfig(**small, domain_factors={"zh": 0}), 1)
    assert without.digest != plain.digest
    assert without.domains["zh"].documents == 0 < plain.domains["zh"].documents
    processor = sentencepiece.SentencePieceProcessor(model_proto=without.model)
    assert processor.piece_to_id("水") == processor.unk_id()
    stored = without.to_json()
    assert stored["sampled"]["zh"]["factor"] == 0 and stored["digest"] == without.digest


def test_the_exact_name_goes_before_a_glob() -> None:
    assert resolve_factors({"code-*": 2, "code-c": 3}, ["code-c", "code-py", "web"]) == {
        "code-c": 3,
        "code-py": 2,
        "web": 1,
    }


@pytest.mark.parametrize(
    ("factors", "said"),
    [
        ({"cdoe": 2.0}, "tokenizer.domain_factors.cdoe: found no domain.*expected code, web"),
        ({"co*": 2.0, "*de": 3.0}, r"domain_factors.*\*de and co\* for the domain code.*expected one glob"),
    ],
)
def test_factors_that_are_refused(factors: dict[str, float], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        resolve_factors(factors, ["code", "web"])


domain_lists = st.lists(st.tuples(st.integers(0, 10**9), st.floats(0, 100)), min_size=1, max_size=8)


@given(domain_lists, st.integers(0, 10**10))
def test_shares_fill_the_sample(domains: list[tuple[int, float]], wanted: int) -> None:
    """All shares come from one c, and the sample has the bytes wanted or all that there are."""
    sizes, factors = [size for size, _ in domains], [factor if factor > 1e-3 else 0.0 for _, factor in domains]
    shares = fill_shares(sizes, factors, wanted)
    there = sum(size for size, factor in zip(sizes, factors, strict=True) if factor > 0)
    got = sum(size * share for size, share in zip(sizes, shares, strict=True))
    assert got == pytest.approx(min(wanted, there), rel=1e-9, abs=1e-6)
    assert all(0 <= share <= 1 for share in shares)
    inside = [s / f for size, s, f in zip(sizes, shares, factors, strict=True) if size and f and s < 1]
    assert not inside or max(inside) == pytest.approx(min(inside))
    for size, share, factor in zip(sizes, shares, factors, strict=True):
        if share == 1 and size and inside:
            assert inside[0] * factor >= 1 - 1e-9


def test_open_any_model(run: Path, tokenizer: Tokenizer, tmp_path: Path) -> None:
    folder = run / "tokenizer" / tokenizer.digest[:12]
    bare = tmp_path / "bare.model"
    bare.write_bytes((folder / "tokenizer.model").read_bytes())
    assert open_tokenizer(folder).digest == open_tokenizer(bare).digest == tokenizer.digest
    assert open_tokenizer(bare).encode("The miller") == tokenizer.encode("The miller")


def test_models_that_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "text.model").write_text("no model at all")
    (tmp_path / "empty.model").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    for name, said in [
        ("none.model", "none.model: cannot be read .No such file"),
        ("text.model", "text.model: is not a SentencePiece model"),
        ("empty.model", "empty.model: is not a SentencePiece model"),
        ("folder", "folder: found no tokenizer.model; expected a .model file"),
    ]:
        with pytest.raises(TamisError, match=said):
            open_tokenizer(tmp_path / name)


def test_a_model_without_an_end_of_documents(tmp_path: Path) -> None:
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts("en", 60)), model_writer=model, vocab_size=60, eos_id=-1, minloglevel=2
    )
    path = tmp_path / "endless.model"
    path.write_bytes(model.getvalue())
    with pytest.raises(
        TamisError, match="endless.model: eos_id: found -1; expected 0 or more, an end-of-document piece"
    ):
        open_tokenizer(path)
    assert open_tokenizer(path, needs_eos=False).vocab_size == 60

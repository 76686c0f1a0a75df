"""Exported models: transformers loads them and says the same; files are cut, folded and refused as they should be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.main import app
from tamis.errors import ConfigError, TamisError

torch = pytest.importorskip("torch")
torch.set_num_threads(1)
from safetensors.torch import load_file  # noqa: E402

from trainer.config import ModelConfig  # noqa: E402
from trainer.export.check import largest_difference  # noqa: E402
from trainer.export.llama import Vocabulary, export_llama  # noqa: E402
from trainer.model import Transformer  # noqa: E402

WORDS = Vocabulary(model=None, bos_id=1, eos_id=2)
SHAPE: dict[str, Any] = {"width": 48, "layers": 2, "heads": 4, "rope_theta": 5000.0, "norm_epsilon": 1e-5}


def model_of(**changes: Any) -> Transformer:
    """A model whose weights are large enough for every mistake to show."""
    model = Transformer(ModelConfig(**(SHAPE | changes)), 97, 1)
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(0.3 * torch.randn(weight.shape, generator=generator) + (weight.ndim == 1))
    return model


def loaded(folder: Path, dtype: Any = torch.float32) -> Any:
    transformers = pytest.importorskip("transformers")
    return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)


@pytest.mark.parametrize("norm_head", [False, True])
@pytest.mark.parametrize("shards", [False, True])
def test_transformers_says_the_same(tmp_path: Path, norm_head: bool, shards: bool) -> None:
    model = model_of(norm_head=norm_head)
    limit = {"max_shard_bytes": 60_000} if shards else {}
    files = export_llama(model.state_dict(), model.config, WORDS, 64, tmp_path, **limit)
    theirs = loaded(tmp_path)
    assert type(theirs).__name__ == "LlamaForCausalLM"
    tokens = torch.randint(0, 97, (3, 50), generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        ours = model(tokens, torch.arange(50).expand(3, -1))
        found = theirs(tokens).logits
    assert float(ours.abs().max()) > 1 and float((ours - found).abs().max()) < 1e-4
    assert largest_difference(tmp_path, model.state_dict(), model.config) < 1e-4
    assert len([f for f in files if f.suffix == ".safetensors"]) == (1 if not shards else len(set(files)) - 2)


def test_a_wrong_weight_shows_in_the_check(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    model = model_of()
    export_llama(model.state_dict(), model.config, WORDS, 64, tmp_path)
    with torch.no_grad():
        model.blocks[1].qkv.weight[3] += 1
    assert largest_difference(tmp_path, model.state_dict(), model.config) > 1e-2


def test_config_says_the_shape(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    model = model_of()
    export_llama(model.state_dict(), model.config, WORDS, 64, tmp_path)
    config = transformers.AutoConfig.from_pretrained(tmp_path)
    assert config.rope_parameters == {"rope_type": "default", "rope_theta": 5000.0}
    assert (config.hidden_size, config.intermediate_size, config.max_position_embeddings) == (48, 128, 64)
    assert (config.rms_norm_eps, config.bos_token_id, config.eos_token_id) == (1e-5, 1, 2)
    assert not config.tie_word_embeddings and config.vocab_size == 97


def test_bfloat16_is_the_rounded_float32(tmp_path: Path) -> None:
    model = model_of(norm_head=True)
    export_llama(model.state_dict(), model.config, WORDS, 64, tmp_path / "wide")
    export_llama(model.state_dict(), model.config, WORDS, 64, tmp_path / "narrow", dtype="bfloat16")
    wide, narrow = (load_file(tmp_path / name / "model.safetensors") for name in ("wide", "narrow"))
    assert wide.keys() == narrow.keys()
    assert all(torch.equal(narrow[name], wide[name].bfloat16()) for name in wide)
    assert torch.allclose(wide["lm_head.weight"].norm(dim=-1), torch.ones(97))
    assert loaded(tmp_path / "narrow", "auto").dtype == torch.bfloat16


def test_shards_hold_every_weight_once_and_keep_to_their_size(tmp_path: Path) -> None:
    model = model_of()
    export_llama(model.state_dict(), model.config, WORDS, 64, tmp_path, max_shard_bytes=60_000)
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    held: dict[str, str] = {}
    for path in sorted(tmp_path.glob("*.safetensors")):
        weights = load_file(path)
        assert sum(w.numel() * 4 for w in weights.values()) <= 60_000
        held |= dict.fromkeys(weights, path.name)
    assert held == index["weight_map"] and len(set(held.values())) > 2
    assert index["metadata"]["total_size"] == 4 * sum(p.numel() for p in model.parameters())
    assert f"model-00001-of-{len(set(held.values())):05d}.safetensors" in held.values()
    with pytest.raises(ConfigError, match="this export would not write"):
        export_llama(model.state_dict(), model.config, WORDS, 64, tmp_path)


def test_what_is_no_llama_is_refused(tmp_path: Path) -> None:
    alibi, rope = model_of(position="alibi"), model_of()
    with pytest.raises(ConfigError, match="model.position: found 'alibi', for which transformers has no Llama"):
        export_llama(alibi.state_dict(), alibi.config, WORDS, 64, tmp_path)
    part = {k: v for k, v in rope.state_dict().items() if k != "blocks.1.down.weight"}
    with pytest.raises(ConfigError, match="blocks.1.down.weight: found nothing"):
        export_llama(part, rope.config, WORDS, 64, tmp_path)
    split = rope.state_dict() | {"blocks.0.qkv.weight": torch.zeros(72, 48)}
    with pytest.raises(ConfigError, match=r"blocks.0.qkv.weight: found \(72, 48\) .*expected \(144, 48\)"):
        export_llama(split, rope.config, WORDS, 64, tmp_path)
    with pytest.raises(ConfigError, match="blocks.2.*: found .*expected none"):
        export_llama(model_of(layers=3).state_dict(), rope.config, WORDS, 64, tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_command_exports_model_and_tokenizer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("transformers")
    from sampler.tokenizer.model import open_tokenizer
    from tests.support.sampler_run import SMALL, texts, write_run

    write_run(tmp_path / "run")
    mixture, model, out = tmp_path / "mixture.yaml", tmp_path / "model.yaml", tmp_path / "out"
    mixture.write_text(json.dumps({"domains": "*", "sequence_length": 32, "seed": 1, "tokenizer": SMALL, "run": "run"}))
    model.write_text(
        "name: m\nmodel: {width: 32, layers: 2, heads: 2, norm_head: true}\nsteps: 3\nglobal_batch: 4\nseed: 1\n"
        "device: cpu\noptimizer: {max_learning_rate: 0.01, warmup_steps: 1}\nheldout_sequences: 4\n"
    )

    def invoke(*arguments: object) -> str:
        result = CliRunner().invoke(app, [*map(str, arguments)], catch_exceptions=False)
        assert result.exit_code == 0
        return result.stdout

    invoke("train", model, "--mixture", mixture, "--format", "json")
    options = ("--mixture", mixture, "--dtype", "float32", "--check")
    found = json.loads(invoke("model", "export", model, out, *options, "--format", "json"))
    assert found["largest_difference"] < 1e-4 and found["step"] == 3
    assert set(found["files"]) == {path.name for path in out.iterdir()} >= {"model.safetensors", "tokenizer.model"}
    tokenizer = open_tokenizer(out / "tokenizer.model")
    assert json.loads((out / "config.json").read_text())["vocab_size"] == tokenizer.vocab_size
    assert "largest difference" in invoke("model", "export", model, out, *options)
    theirs = pytest.importorskip("transformers").AutoTokenizer.from_pretrained(out)
    odd = [
        "",
        " lead",
        "  two  spaces\n\n中文 字符",
        "a_b=3.14;\tx",
        "</s> <s>",
        "\u2581a",
        "1234567",
        "😀e\u0301\u200b",
        "ﬁ½Ａ",
    ]
    for text in [*texts("en", 40), *texts("zh", 40), *odd]:
        assert theirs.encode(text) == tokenizer.encode(text), text
        assert theirs.decode(theirs.encode(text)) == tokenizer.decode(tokenizer.encode(text))
    assert (theirs.bos_token_id, theirs.eos_token_id) == (tokenizer.bos_id, tokenizer.eos_id)
    mixture.write_text(mixture.read_text().replace("620", "600"))
    with pytest.raises(TamisError, match="found tokenizer [0-9a-f]{64}; expected that of this run, "):
        invoke("model", "export", model, out, *options)


def test_a_tokenizer_that_changes_its_text_goes_along_as_it_is(tmp_path: Path) -> None:
    import io

    import sentencepiece

    from tests.support.sampler_run import ENGLISH
    from trainer.export.tokenizer import fast_tokenizer

    for kind, rule in (("bpe", "nmt_nfkc"), ("unigram", "identity")):
        model = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter([" ".join(ENGLISH)] * 20),
            model_writer=model,
            vocab_size=70,
            model_type=kind,
            normalization_rule_name=rule,
            add_dummy_prefix=False,
            remove_extra_whitespaces=False,
            minloglevel=2,
        )
        assert fast_tokenizer(model.getvalue()) is None

"""Our models in lm-evaluation-harness: equal to its own adapter of the exported model, and to a float64 twin."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from cli.main import app
from sampler.tokenizer.model import Tokenizer, tokenizer_from
from tamis.errors import ConfigError, TamisError
from tests.support.sampler_run import CHINESE, ENGLISH, SMALL, texts, write_run

torch = pytest.importorskip("torch")
pytest.importorskip("lm_eval")
torch.set_num_threads(1)

from sampler.stream.batch import IGNORED  # noqa: E402
from trainer.config import ModelConfig  # noqa: E402
from trainer.evaluation.harness import HarnessModel, run_tasks, windows  # noqa: E402
from trainer.evaluation.scores import scoring_model  # noqa: E402
from trainer.export.llama import Vocabulary, export_llama  # noqa: E402
from trainer.model import Transformer  # noqa: E402

LENGTH = 24
SAYINGS = [
    "The miller opened the gate",
    "磨坊主在日出之前打开了闸门",
    "A child counted 1234 sacks",
    "冬天到了，河水结冰",
]


def asked(*arguments: Any) -> Any:
    """A request as the harness makes them."""
    return SimpleNamespace(args=arguments)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    """Few pieces, long ones among them: many span the places where contexts end."""
    import io

    import sentencepiece

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([*texts("en", 60), *texts("zh", 60)]),
        model_writer=model,
        vocab_size=900,
        model_type="bpe",
        normalization_rule_name="identity",
        add_dummy_prefix=False,
        remove_extra_whitespaces=False,
        byte_fallback=True,
        character_coverage=0.99,
        minloglevel=2,
    )
    return tokenizer_from(model.getvalue())


@pytest.fixture(scope="module")
def trained(tokenizer: Tokenizer) -> Transformer:
    """Weights large enough for every mistake to show, not so large that float32 does."""
    model = Transformer(ModelConfig(width=32, layers=2, heads=2, norm_head=True), tokenizer.vocab_size, 1)
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(0.3 * torch.randn(weight.shape, generator=generator) + (weight.ndim == 1))
        # Single bytes are never said: of broken UTF-8 the libraries make different text.
        model.head.weight[[i for i in range(tokenizer.vocab_size) if tokenizer.processor.is_byte(i)]] = 0
    return model


@pytest.fixture(scope="module")
def ours(trained: Transformer, tokenizer: Tokenizer) -> HarnessModel:
    return HarnessModel(scoring_model(trained.state_dict(), trained.config, torch.device("cpu")), tokenizer, LENGTH)


@pytest.fixture(scope="module")
def theirs(trained: Transformer, tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The harness's adapter of transformers, over the exported model."""
    pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    from lm_eval.models.huggingface import HFLM

    folder = tmp_path_factory.mktemp("exported")
    model = tokenizer.processor.serialized_model_proto()
    words = Vocabulary(model=model, bos_id=tokenizer.bos_id, eos_id=tokenizer.eos_id)
    export_llama(trained.state_dict(), trained.config, words, LENGTH, folder, dtype="float32")
    return HFLM(  # its cache of logits is off, as it mixes up requests that are one text cut at two places (0.4.13)
        pretrained=str(folder),
        device="cpu",
        dtype="float32",
        batch_size=3,
        prefix_token_id=tokenizer.eos_id,
        max_length=LENGTH,
        logits_cache=False,
    )


def pairs(rng: np.random.Generator, count: int) -> list[tuple[str, str]]:
    """Contexts and continuations in both languages, cut anywhere."""
    found = []
    for text in rng.choice([*texts("en", 40), *texts("zh", 40)], count):
        text = str(text)[: int(rng.integers(8, 60))] or "a b c"
        cut = int(rng.integers(0, len(text)))
        found.append((text[:cut], text[cut:]))
    return found


def test_what_is_scored_spells_the_continuation(ours: HarnessModel, tokenizer: Tokenizer) -> None:
    """Also where a piece spans the end of the context, which the plain cut gets wrong."""
    wrong = 0
    for context, continuation in pairs(np.random.default_rng(3), 300):
        before, after = ours.encode_pair(context, continuation)
        space = context[len(context.rstrip()) :]
        assert tokenizer.decode(after) == space + continuation and len(before) > 0
        assert tokenizer.decode(before) == context.rstrip()
        plain = tokenizer.encode(context + continuation)[len(tokenizer.encode(context.rstrip())) :]
        wrong += tokenizer.decode(plain) != space + continuation
    assert wrong > 20
    assert ours.encode_pair("", "x")[0] == [tokenizer.eos_id] == ours.encode_pair(" \n", "x")[0]
    assert ours.encode_pair("x", "")[1] == []


def test_windows_ask_about_every_token_once_with_all_that_fits_before() -> None:
    for size in range(2, 15):
        for first in range(1, size):
            for length in (1, 3, 5, 20):
                row = list(range(100, 100 + size))
                found = windows(row, first, length)
                labels = np.concatenate([window.labels[window.labels != IGNORED] for window in found])
                assert labels.tolist() == row[first:]
                for window in found:
                    assert (window.tokens[1:] == window.labels[:-1])[window.labels[:-1] != IGNORED].all()
                    assert len(window.tokens) <= length
                assert len(found[-1].tokens) == min(length, size - 1)
    assert windows([7], 1, 4) == []


def test_likelihoods_are_those_of_a_plain_twin(ours: HarnessModel, trained: Transformer, tokenizer: Tokenizer) -> None:
    """One row at a time, no padding, full logits, float64; too long a context is cut from the left."""
    exact = Transformer(trained.config, tokenizer.vocab_size, 1).double()
    exact.load_state_dict({name: weight.double() for name, weight in trained.state_dict().items()})
    requests = pairs(np.random.default_rng(5), 60)
    requests += [("", "the gate"), (SAYINGS[0], ""), (" ".join(ENGLISH), SAYINGS[2]), (CHINESE, SAYINGS[3])]
    found = ours.loglikelihood([asked(*pair) for pair in requests])
    long = 0
    for pair, (likelihood, greedy) in zip(requests, found, strict=True):
        before, after = ours.encode_pair(*pair)
        if len(after) > LENGTH:
            continue
        row = (before + after)[-LENGTH - 1 :]
        long += len(before + after) > len(row)
        with torch.no_grad():
            logits = exact(torch.tensor([row[:-1] or [0]]), torch.arange(max(1, len(row) - 1))[None])[0]
        logs = torch.log_softmax(logits, -1)[len(row) - 1 - len(after) :] if after else logits[:0]
        wanted = torch.tensor(after, dtype=torch.long)
        assert likelihood == pytest.approx(float(logs.gather(-1, wanted[:, None]).sum()), abs=1e-4)
        assert greedy == bool((logs.argmax(-1) == wanted).all())
    assert long > 2 and found[-3] == (0.0, True)
    mixed = ours.loglikelihood([asked(*pair) for pair in reversed(requests)])
    assert [value for value, _ in reversed(mixed)] == pytest.approx([value for value, _ in found], abs=1e-5)


@pytest.mark.slow
def test_the_harness_says_the_same_of_the_exported_model(ours: HarnessModel, theirs: Any, tokenizer: Tokenizer) -> None:
    """Where its cut is clean. Likelihoods, greediness, whole texts and generation."""
    clean = []
    for context, continuation in [*pairs(np.random.default_rng(8), 200), ("", "the gate"), ("", "石磨")]:
        before = tokenizer.encode(context.rstrip())
        whole = tokenizer.encode(context + continuation)
        if whole[: len(before)] == before and (before or not context) and 0 < len(whole) - len(before) <= LENGTH:
            clean.append((context, continuation))
    assert len(clean) > 60
    said = ours.generate_until([asked(saying, {"max_gen_toks": 1}) for saying in SAYINGS])
    clean += [(saying, best) for saying, best in zip(SAYINGS, said, strict=True) if best.strip()]
    clean = [p for p in clean if tokenizer.encode("".join(p))[: len(tokenizer.encode(p[0]))] == tokenizer.encode(p[0])]
    first = ours.loglikelihood([asked(*pair) for pair in clean])
    second = theirs.loglikelihood([asked(*pair) for pair in clean], disable_tqdm=True)
    assert [value for value, _ in first] == pytest.approx([value for value, _ in second], abs=1e-4)
    assert [greedy for _, greedy in first] == [greedy for _, greedy in second]
    whole_texts = [*texts("en", 8), *texts("zh", 8), CHINESE, "x", ""]
    rolled = ours.loglikelihood_rolling([asked(text) for text in whole_texts])
    assert rolled == pytest.approx(theirs.loglikelihood_rolling([asked(text) for text in whole_texts]), abs=1e-3)
    assert rolled[-1] == 0 and min(rolled) < -500


def test_generation_is_the_harness_s_and_stops_where_it_should(
    ours: HarnessModel, theirs: Any, tokenizer: Tokenizer
) -> None:
    contexts = [text for text in SAYINGS if len(tokenizer.encode(text)) < LENGTH - 8]
    assert len(contexts) == 4
    plain = {"until": ["\n\n"], "max_gen_toks": 8}
    said = ours.generate_until([asked(context, plain) for context in contexts])
    assert said == theirs.generate_until([asked(context, dict(plain)) for context in contexts], disable_tqdm=True)
    assert len(set(said)) > 1 and all(said)
    stop = said[0][2:4]
    cut = ours.generate_until([asked(contexts[0], {"until": [stop, "never"], "max_gen_toks": 8})])
    assert cut == [said[0].split(stop)[0]]
    longer = ours.generate_until([asked(contexts[0], {"until": [], "max_gen_toks": 3 * LENGTH}), asked("", plain)])
    assert longer[0].startswith(said[0][:-1]) and len(longer) == 2  # further than the model sees at a time
    with pytest.raises(ConfigError, match="do_sample"):
        ours.generate_until([asked("x", {"do_sample": True, "temperature": 0.7})])
    assert ours.generate_until([]) == [] == ours.loglikelihood([]) == ours.loglikelihood_rolling([])


def test_the_end_of_a_document_ends_generation(trained: Transformer, tokenizer: Tokenizer) -> None:
    state = {name: weight.clone() for name, weight in trained.state_dict().items()}
    model = scoring_model(state, trained.config, torch.device("cpu"))
    with torch.no_grad():  # all hidden states lie close to the end token's row
        model.norm.weight.zero_()
        model.norm.weight[0] = 1
        for block in model.blocks:
            block.out.weight.zero_()
            block.down.weight.zero_()
        model.embedding.weight[:] = 1
        model.head.head.weight.zero_()
        model.head.head.weight[tokenizer.eos_id, 0] = 1
    ended = HarnessModel(model, tokenizer, LENGTH)
    assert ended.generate_until([asked("The miller", {"max_gen_toks": 50})]) == [""]


TASK = """
task: {name}
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: {kind}
doc_to_text: "{{{{question}}}}"
target_delimiter: ""
{rest}
metadata: {{version: 2}}
"""
CHOICE = """doc_to_choice: "{{choices}}"
doc_to_target: "{{answer}}"
metric_list: [{metric: acc}, {metric: acc_norm}]"""
FREE = """doc_to_target: "{{choices[answer]}}"
generation_kwargs: {until: ["\\n"], max_gen_toks: 4}
metric_list: [{metric: exact_match}]"""


def questions(language: str) -> list[dict[str, Any]]:
    """What comes next in the text? Two choices, the right one first or last."""
    text, glue = (ENGLISH, " ") if language == "en" else (list(CHINESE), "")
    found = []
    for start in range(0, 18, 3):
        question, right, wrong = (glue.join(text[a : a + 3]) for a in (start, start + 3, start + 20))
        choices = [glue + right, glue + wrong]
        found.append({"question": question, "choices": choices[:: 1 - 2 * (start % 2)], "answer": start % 2})
    return found


@pytest.fixture
def tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a multiple-choice task in each language, and one of generation, over lines of JSON."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    for language in ("en", "zh"):
        data = tmp_path / f"{language}.jsonl"
        lines = [json.dumps(row, ensure_ascii=False) for row in questions(language)]
        data.write_text("\n".join(lines), "utf-8")
        for name, kind, rest in (("mill", "multiple_choice", CHOICE), ("say", "generate_until", FREE)):
            body = TASK.format(name=f"{name}_{language}", data=data, kind=kind, rest=rest)
            (tmp_path / f"{name}_{language}.yaml").write_text(body, "utf-8")
    return tmp_path


def test_tasks_count_what_the_model_prefers(ours: HarnessModel, tasks: Path) -> None:
    """Accuracy as counted here from the likelihoods, in both languages; generation against the text itself."""
    found = run_tasks(ours, ["mill_en", "mill_zh", "say_zh"], tasks)
    accuracies = set()
    for language in ("en", "zh"):
        right = 0
        for row in questions(language):
            said = ours.loglikelihood([asked(row["question"], choice) for choice in row["choices"]])
            right += int(np.argmax([value for value, _ in said])) == row["answer"]
        measures = found[f"mill_{language}"]
        assert (measures["acc"], measures["documents"], measures["version"]) == (right / 6, 6, 2)
        assert 0 <= measures["acc_stderr"] < 0.3 and 0 <= measures["acc_norm"] <= 1
        accuracies.add(right)
    assert accuracies - {0, 6}
    assert found["say_zh"]["exact_match"] == 0


def test_an_unknown_task_names_near_ones(ours: HarnessModel, tasks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lm_eval.tasks import TaskManager

    def own(include_path: str, include_defaults: bool = False) -> TaskManager:
        """Without the harness's own tasks, which take a quarter of a minute to look through."""
        return TaskManager(include_path=include_path, include_defaults=False)

    monkeypatch.setattr("lm_eval.tasks.TaskManager", own)
    with pytest.raises(ConfigError, match=r"found 'mil_en', which is no task; expected for example mill_en"):
        run_tasks(ours, ["mill_zh", "mil_en"], tasks)
    with pytest.raises(ConfigError, match=r"found 'x', .*expected tasks of the harness, and of --include-path"):
        run_tasks(ours, ["x"], tasks)


@pytest.mark.slow
def test_the_command_asks_local_tasks(tasks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_run(tasks / "run")
    mixture, model = tasks / "mixture.json", tasks / "model.json"
    mixture.write_text(json.dumps({"domains": "*", "sequence_length": 64, "seed": 1, "tokenizer": SMALL, "run": "run"}))
    model.write_text(
        "name: m\nmodel: {width: 32, layers: 1, heads: 2}\nsteps: 3\nglobal_batch: 4\nseed: 1\ndevice: cpu\n"
        "optimizer: {max_learning_rate: 0.02, warmup_steps: 1}\nheldout_sequences: 4\n"
    )

    def invoke(*arguments: object) -> str:
        given = [*map(str, arguments), "--mixture", str(mixture)]
        result = CliRunner().invoke(app, given, catch_exceptions=False)
        assert result.exit_code == 0
        return result.stdout

    def harness(names: str, *options: object) -> str:
        return invoke("model", "harness", model, "--tasks", names, "--include-path", tasks, *options)

    with pytest.raises(TamisError, match="holds no checkpoint"):
        harness("mill_en")
    invoke("train", model)
    found = json.loads(harness("mill_en,mill_zh,say_en", "--format", "json"))
    assert (found["model"], found["step"], list(found["tasks"])) == ("m", 3, ["mill_en", "mill_zh", "say_en"])
    assert found == json.loads(harness("mill_en, mill_zh,say_en", "--format", "json"))
    text = harness("mill_zh", "--limit", 2, "--examples", 1)
    assert "mill_zh" in text and "acc_norm" in text and "stderr" not in text
    assert json.loads(harness("mill_en", "--limit", 3, "--format", "json"))["tasks"]["mill_en"]["documents"] == 3
    with pytest.raises(ConfigError, match="--include-path: found .* is no folder"):
        invoke("model", "harness", model, "--tasks", "mill_en", "--include-path", tasks / "none")
    with pytest.raises(ConfigError, match="--tasks: found ' ,'"):
        harness(" ,")
    (tasks / "en.jsonl").unlink()
    with pytest.raises(TamisError, match="tasks mill_en: cannot be asked"):
        harness("mill_en")
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    with pytest.raises(ConfigError, match="tamis model harness needs lm_eval, .*tamis.eval."):
        harness("mill_en")

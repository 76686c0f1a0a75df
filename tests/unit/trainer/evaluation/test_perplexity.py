"""Perplexity on held-out documents: a slow twin, each document once, languages from the shards, clear errors."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from cli.main import app
from sampler.heldout import heldout_text, languages_of, other_text, published_shards
from sampler.mixture import DomainShare, Mixture
from sampler.prepare import bins_for, open_stream, prepare, split_streams
from sampler.tokenizer.sentencepiece_model import piece_bytes
from tamis.errors import ConfigError, TamisError
from tests.support.sampler_run import SMALL, texts, write_run, write_shard

torch = pytest.importorskip("torch")
torch.set_num_threads(1)

from sampler.stream.batch import IGNORED  # noqa: E402
from trainer.config import ModelConfig  # noqa: E402
from trainer.evaluation.loss import mean_loss, whole_epoch  # noqa: E402
from trainer.evaluation.perplexity import judge, questions_of, table_of  # noqa: E402
from trainer.evaluation.scores import Question, answer, scoring_model  # noqa: E402
from trainer.model import Transformer  # noqa: E402

SHAPE: dict[str, Any] = {"width": 32, "layers": 2, "heads": 2}
LENGTH = 32
MIXTURE = Mixture(domains="*", sequence_length=LENGTH, seed=1, tokenizer=SMALL)  # type: ignore[arg-type]
CPU = torch.device("cpu")


def model_of(vocab_size: int, **changes: Any) -> Transformer:
    """Weights large enough for every mistake to show."""
    model = Transformer(ModelConfig(**(SHAPE | changes)), vocab_size, 1)
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(0.3 * torch.randn(weight.shape, generator=generator) + (weight.ndim == 1))
    return model


def slow_nats(model: Transformer, tokens: list[int], labels: list[int]) -> list[float]:
    """-log p of each label, one row at a time, full logits, float64."""
    with torch.no_grad():
        logits = model(torch.tensor([tokens]), torch.arange(len(tokens))[None])[0]
    return (-torch.log_softmax(logits.double(), -1)[torch.arange(len(labels)), torch.tensor(labels)]).tolist()


def add_language(run: Path) -> None:
    """What the language stage adds, with a null here and there, where the record's own word stands in."""
    for path in sorted((run / "shards").glob("*/*.parquet")):
        table = pq.read_table(path, partitioning=None)
        found = [None if number % 20 == 10 else path.parent.name for number in range(len(table))]
        table = table.append_column("language", pa.array(found, pa.string()))
        pq.write_table(table.append_column("lang", pa.array([f"{path.parent.name}-x"] * len(table))), path)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_run(tmp_path_factory.mktemp("run"))
    add_language(folder)
    return folder


@pytest.mark.parametrize(
    "changes",
    [{}, {"document_mask": False}, {"position": "alibi", "heads": 4}, {"norm_head": True, "loss_chunk_tokens": 3}],
)
def test_answers_are_those_of_each_row_alone(changes: dict[str, Any]) -> None:
    model, rng = model_of(50, **changes).double(), np.random.default_rng(1)
    scorer = scoring_model(model.state_dict(), model.config, CPU)
    rows = [rng.integers(0, 50, n) for n in (1, 9, 4, 9, 30, 2)]
    questions = []
    for row in rows:
        labels = rng.integers(0, 50, len(row))
        labels[: len(row) // 2] = IGNORED
        questions.append(Question(tokens=row, labels=labels))
    questions.append(Question(tokens=rows[1], labels=np.full(9, IGNORED)))
    for batch_tokens in (1, 20, 1000):
        answers = answer(scorer, questions, batch_tokens)
        assert len(answers) == len(questions) and len(answers[-1].nats) == 0
        for question, found in zip(questions[:-1], answers[:-1], strict=True):
            asked = question.labels != IGNORED
            slow = np.array(slow_nats(model, question.tokens.tolist(), np.where(asked, question.labels, 0).tolist()))
            assert found.nats == pytest.approx(slow[asked], abs=1e-9)
            with torch.no_grad():
                logits = model(torch.tensor(question.tokens)[None], torch.arange(len(question.tokens))[None])[0]
            assert found.likeliest.tolist() == logits.argmax(-1)[torch.tensor(asked)].tolist()
    assert answer(scorer, []) == []


def test_sequences_ask_about_every_token_but_the_first_once() -> None:
    for size in (1, 2, 4, 5, 6, 9, 13):
        document = np.arange(size) + 100
        questions = questions_of(document, 4)
        assert np.concatenate([[100], *[q.labels for q in questions]]).tolist() == document.tolist()
        assert np.concatenate([*[q.tokens for q in questions], document[-1:]]).tolist() == document.tolist()
        assert all(len(question.tokens) <= 4 for question in questions)


def test_the_table_equals_its_slow_twin(run: Path) -> None:
    """From the published shards, a document at a time; nothing of the bins but the tokenizer."""
    prepared = prepare(run, MIXTURE)
    tokenizer = prepared.tokenizer
    model = model_of(tokenizer.vocab_size)
    sizes = np.array(piece_bytes(tokenizer.processor.serialized_model_proto()))
    text = heldout_text(prepared.bins, MIXTURE, run)
    rows = table_of(judge(scoring_model(model.state_dict(), model.config, CPU), text, LENGTH, sizes), text.domains)
    slow: dict[tuple[str, str], list[tuple[float, int, int]]] = {}
    for path in sorted((run / "shards").glob("*/*.parquet")):
        for row in pq.read_table(path, partitioning=None).to_pylist():
            if row["split"] == "heldout":
                tokens = tokenizer.encode(row["text"], eos=True)
                cuts = range(0, len(tokens) - 1, LENGTH)
                nats = sum(
                    sum(slow_nats(model, tokens[a : a + LENGTH][: len(tokens) - 1 - a], tokens[a + 1 : a + 1 + LENGTH]))
                    for a in cuts
                )
                first = len(tokenizer.decode(tokens[:1]).encode()) if sizes[tokens[0]] > 1 else int(sizes[tokens[0]])
                found = (nats, len(tokens) - 1, len(row["text"].encode()) - first)
                domain = path.parent.name
                for key in (("domain", domain), ("language", row["language"] or row["lang"]), ("total", "total")):
                    slow.setdefault(key, []).append(found)
    assert {(row.kind, row.name) for row in rows} == set(slow) and ("language", "en-x") in slow
    for row in rows:
        nats, tokens, size = (np.array(values) for values in zip(*slow[row.kind, row.name], strict=True))
        assert (row.documents, row.tokens, row.bytes) == (len(nats), tokens.sum(), size.sum())
        mean = nats.sum() / tokens.sum()
        assert row.nats == pytest.approx(mean, rel=1e-5) and row.perplexity == pytest.approx(math.exp(mean), rel=1e-4)
        assert row.bits_per_byte == pytest.approx(nats.sum() / size.sum() / math.log(2), rel=1e-5)
        again = [np.delete(nats, i).sum() / np.delete(tokens, i).sum() for i in range(len(nats))]
        jackknife = math.sqrt((len(nats) - 1) / len(nats) * sum((value - np.mean(again)) ** 2 for value in again))
        assert row.standard_error == pytest.approx(jackknife, rel=0.35)
    for kind in ("domain", "language"):
        parts = [row for row in rows if row.kind == kind]
        whole = math.exp(sum(r.tokens * math.log(r.perplexity or 0) for r in parts) / sum(r.tokens for r in parts))
        assert rows[-1].perplexity == pytest.approx(whole, rel=1e-9)
        assert sum(row.documents for row in parts) == rows[-1].documents


def test_the_total_is_the_mean_loss_of_the_held_out_stream(run: Path) -> None:
    """Of one document a sequence: another way through the bins, the batches and the head."""
    prepared = prepare(run, MIXTURE)
    model = model_of(prepared.tokenizer.vocab_size)
    text, sizes = heldout_text(prepared.bins, MIXTURE, run), np.ones(prepared.tokenizer.vocab_size, np.int64)
    scorer = scoring_model(model.state_dict(), model.config, CPU)
    rows = {row.name: row for row in table_of(judge(scorer, text, 256, sizes), text.domains) if row.kind == "domain"}
    for domain in ("en", "zh"):
        alone = {"split": "heldout", "packing": "document", "sequence_length": 256, "domains": {domain: DomainShare()}}
        stream = open_stream(run, prepared.bins, MIXTURE.model_copy(update=alone))
        assert whole_epoch(stream, 10_000) == rows[domain].documents
        loss = mean_loss(model, stream, rows[domain].documents, 4, prepared.tokenizer.eos_id)
        assert rows[domain].nats == pytest.approx(loss, rel=1e-5)


@pytest.mark.parametrize("heldout", [True, False])
def test_no_training_document_is_judged_and_no_other_is_left_out(tmp_path: Path, heldout: bool) -> None:
    write_run(tmp_path, count=200, heldout=heldout)
    prepared = prepare(tmp_path, MIXTURE)
    train, _, chosen_here = split_streams(prepared)
    text = heldout_text(prepared.bins, MIXTURE, tmp_path)
    assert chosen_here is not heldout and text.split == ("heldout" if heldout else "hash")
    judged = [int(i) for part in text.documents for i in part.shard.index.doc_ids[part.rows]]
    seen = {int(i) for i in train.batch(0, whole_epoch(train, 100_000)).doc_ids if i >= 0}
    everything = {int(i) for shards in prepared.bins.domains.values() for s in shards for i in s.index.doc_ids}
    assert len(judged) == len(set(judged)) > 0 and not seen & set(judged) and seen | set(judged) <= everything
    assert len(everything - seen - set(judged)) < 5  # the end of an epoch, which no whole sequence takes


def test_a_sample_of_documents_is_by_domain_and_always_the_same(run: Path) -> None:
    bins = prepare(run, MIXTURE).bins
    few, whole = heldout_text(bins, MIXTURE, run, 4), heldout_text(bins, MIXTURE, run)
    of = lambda text: {  # noqa: E731
        (part.shard.name, int(row)): language
        for part in text.documents
        for row, language in zip(part.rows, part.languages, strict=True)
    }
    assert of(few).items() <= of(whole).items() and len(of(few)) == 8
    assert sorted(name.split("/")[0] for name, _ in of(few)) == ["en"] * 4 + ["zh"] * 4
    assert of(heldout_text(bins, MIXTURE, run, 3)).items() <= of(few).items()
    assert of(heldout_text(bins, MIXTURE, run, 10_000)) == of(whole)


def test_languages_of_shards_that_do_not_say(tmp_path: Path, run: Path) -> None:
    bins = prepare(run, MIXTURE).bins
    shard, rows = bins.domains["zh"][0], np.array([0, 10])
    assert languages_of(published_shards(run), shard, rows) == ["zh", "zh-x"]
    assert languages_of({}, shard, rows) == ["unknown"] * 2
    assert published_shards(tmp_path) == {}
    write_run(tmp_path, count=60)  # other documents under the same names
    assert languages_of(published_shards(tmp_path), shard, rows) == ["unknown"] * 2
    own = prepare(tmp_path, MIXTURE).bins.domains["zh"][0]
    assert languages_of(published_shards(tmp_path), own, rows) == ["unknown"] * 2  # no such columns


def test_pieces_spell_their_texts_bytes(run: Path) -> None:
    tokenizer = prepare(run, MIXTURE).tokenizer
    sizes = piece_bytes(tokenizer.processor.serialized_model_proto())
    assert len(sizes) == tokenizer.vocab_size and sizes[tokenizer.eos_id] == 0
    odd = ["", " lead", "  two\n\n中文", "😀e\u0301\u200b", "</s>", "ﬁ½Ａ"]
    for text in [*texts("en", 20), *texts("zh", 20), *odd]:
        assert sum(sizes[token] for token in tokenizer.encode(text, eos=True)) == len(text.encode())


def test_other_text_is_judged_whole_unless_training_saw_it(tmp_path: Path) -> None:
    write_run(tmp_path / "run", count=200, heldout=False)
    prepared = prepare(tmp_path / "run", MIXTURE)
    write_shard(tmp_path / "other" / "shards" / "en" / "a.parquet", texts("en", 9, seed=3), 1)
    bins = bins_for(tmp_path / "other", prepared.tokenizer)
    text = other_text(bins, prepared.bins, tmp_path / "other")
    assert text.split == "all" and sum(len(part.rows) for part in text.documents) == 9
    own = other_text(prepared.bins, prepared.bins, tmp_path / "run")
    assert own.split == "hash"
    assert [part.rows.tolist() for part in own.documents] == [
        part.rows.tolist() for part in heldout_text(prepared.bins, MIXTURE, tmp_path / "run").documents
    ]


class Command:
    """The command line over a run with two trained models."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.run, self.mixture = folder, write_run(folder / "run"), folder / "mixture.yaml"
        add_language(self.run)
        for number, domain in enumerate(("none", "void")):  # without held-out documents; with an empty one
            path = self.run / "shards" / domain / "a.parquet"
            write_shard(
                path, ["", "The miller opened the gate."], (9 + number) << 27, {0} if domain == "void" else set()
            )
        body = {"domains": "*", "sequence_length": LENGTH, "seed": 1, "tokenizer": SMALL, "run": "run"}
        self.mixture.write_text(json.dumps(body))
        for name in ("a", "b"):
            self.write_model(name)
            self.invoke("train", self.model(name), "--steps", 4 if name == "a" else 2)

    def write_model(self, name: str) -> None:
        self.model(name).write_text(
            f"name: {name}\nmodel: {{width: 32, layers: 1, heads: 2}}\nsteps: 4\nglobal_batch: 4\nseed: 1\n"
            "device: cpu\noptimizer: {max_learning_rate: 0.01, warmup_steps: 1}\nheldout_sequences: 4\n"
            "checkpoint_steps: 2\nkeep_every_tokens: 200\n"
        )

    def model(self, name: str) -> Path:
        return self.folder / f"{name}.yaml"

    def invoke(self, *arguments: object) -> str:
        given = [*map(str, arguments), "--mixture", str(self.mixture)]
        result = CliRunner().invoke(app, given, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.stdout

    def evaluate(self, *arguments: object) -> Any:
        return json.loads(self.invoke("model", "evaluate", *arguments, "--format", "json"))


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Command:
    return Command(tmp_path_factory.mktemp("command"))


def test_the_command_compares_models(command: Command) -> None:
    found = command.evaluate(command.model("a"), command.model("b"), "--save")
    first, second = found["models"]
    assert (first["model"], first["step"], second["step"], found["split"]) == ("a", 4, 2, "heldout")
    names = [(row["kind"], row["name"]) for row in first["rows"]]
    assert names == [
        *(("domain", name) for name in ("en", "none", "void", "zh")),
        *(("language", name) for name in ("en", "en-x", "unknown", "zh", "zh-x")),
        ("total", "total"),
    ]
    rows = {row["name"]: row for row in first["rows"]}
    assert rows["none"]["documents"] == 0 and rows["none"]["perplexity"] is None
    assert rows["void"]["documents"] == 1 and rows["void"]["tokens"] == 0 and rows["void"]["nats"] is None
    assert rows["total"]["perplexity"] < second["rows"][-1]["perplexity"] < 700  # longer trained
    saved = command.run / "train" / "a" / "evaluation.json"
    before = saved.read_bytes()
    assert json.loads(before)["rows"] == first["rows"] and str(command.folder) not in before.decode()
    command.evaluate(command.model("a"), "--save")
    assert saved.read_bytes() == before
    text = command.invoke("model", "evaluate", command.model("a"), command.model("b"))
    assert "by language" in text and text.count("perplexity") == 2 and "nats a token" not in text
    text = command.invoke("model", "evaluate", command.model("a"))
    assert "nats a token" in text and "step 4" in text and f"{rows['total']['perplexity']:,.2f}" in text


def test_a_perplexity_beyond_reason_keeps_its_column() -> None:
    from cli.training.evaluate import _perplexity

    assert [_perplexity(value) for value in (None, 1.0, 1234.5, 1.1e7)] == ["–", "1.00", "1,234.50", "1.10e+07"]


def test_a_kept_checkpoint_is_judged_by_its_step(command: Command) -> None:
    last, kept, other = (
        command.evaluate(command.model(name), *options)["models"][0]
        for name, options in (("a", ()), ("a", ("--checkpoint", 2)), ("b", ()))
    )
    assert kept["step"] == 2 and kept["rows"] != last["rows"]
    assert len(kept["rows"]) == len(other["rows"])
    with pytest.raises(ConfigError, match=r"checkpoint: found 3, .*expected 2, 4"):
        command.evaluate(command.model("a"), "--checkpoint", 3)


def test_text_of_another_run_and_of_bare_bins(command: Command, tmp_path: Path) -> None:
    write_run(tmp_path / "other", ("en",), count=12, heldout=False)
    (rows,) = [model["rows"] for model in command.evaluate(command.model("a"), "--on", tmp_path / "other")["models"]]
    assert rows[0]["documents"] == 12 and [row["name"] for row in rows] == ["en", "unknown", "total"]
    bins = next((command.run / "tokens").iterdir())
    both = command.evaluate(command.model("a"), "--on", tmp_path / "other", "--on", bins)
    own = command.evaluate(command.model("a"))
    named = {row["name"]: row for row in both["models"][0]["rows"]}
    assert named["other/en"] == rows[0] | {"name": "other/en"} and both["split"] == "all+heldout"
    zh = next(row for row in own["models"][0]["rows"] if row["name"] == "zh" and row["kind"] == "domain")
    assert named[f"{bins.name}/zh"] == zh | {"name": f"{bins.name}/zh"}
    assert "all documents" in command.invoke("model", "evaluate", command.model("a"), "--on", tmp_path / "other")


def test_what_does_not_fit_is_one_sentence(command: Command, tmp_path: Path) -> None:
    command.write_model("untrained")
    with pytest.raises(TamisError, match="untrained: holds no checkpoint; run `tamis train`"):
        command.evaluate(command.model("untrained"))
    with pytest.raises(ConfigError, match="name: found 'a' in two model files"):
        command.evaluate(command.model("a"), command.model("a"))
    body = json.loads(command.mixture.read_text())
    before = command.mixture.read_text()
    try:
        command.mixture.write_text(json.dumps(body | {"tokenizer": SMALL | {"vocab_size": 600}}))
        with pytest.raises(TamisError, match="found tokenizer .*; expected that of this run, "):
            command.evaluate(command.model("a"))
        bins = next(path for path in (command.run / "tokens").iterdir())
        command.mixture.write_text(json.dumps(body | {"domains": {"none": {}}}))
        with pytest.raises(ConfigError, match="no held-out document of none"):
            command.evaluate(command.model("a"))
        command.mixture.write_text(json.dumps(body | {"domains": {"nowhere": {}}}))
        with pytest.raises(ConfigError, match=r"domains\.nowhere: found"):
            command.evaluate(command.model("a"))
    finally:
        command.mixture.write_text(before)
    write_run(tmp_path / "foreign")
    foreign = MIXTURE.model_copy(update={"tokenizer": MIXTURE.tokenizer.model_copy(update={"vocab_size": 600})})
    prepare(tmp_path / "foreign", foreign)
    bins = next((tmp_path / "foreign" / "tokens").iterdir())
    with pytest.raises(ConfigError, match="--on .*: found tokenizer"):
        command.evaluate(command.model("a"), "--on", bins)
    with pytest.raises(TamisError, match="holds no finished token bins"):
        command.evaluate(command.model("a"), "--on", tmp_path)

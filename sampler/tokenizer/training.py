"""Training a SentencePiece BPE with Baichuan 2's settings.

BPE and not the unigram model, as in Baichuan 2; no normalisation and no dummy prefix, so that decoding gives the text
back; numbers are split into digits; runs of spaces may be pieces, for code; characters outside the coverage are
encoded as UTF-8 bytes.

**Newlines.** SentencePiece takes a newline as the end of a training sentence. A document is therefore passed line by
line, and no piece contains a newline; in encoding, "\n" (like every character that the vocabulary lacks) becomes its
byte piece `<0x0A>`, one token, and decodes back. So newlines, tabs, runs of spaces, emoji and NUL survive a round
trip. One character does not: U+2581 (▁), SentencePiece's own mark for a space, decodes as a space.

**Reproducible.** The sample is a function of run and seed (`sampler.tokenizer.sample`); the number of threads is fixed,
as it is stored in the model; and training reads from an iterator and writes to memory, since the path of a training
file would become part of the model's bytes, and so of the digest.

Cost: with 125,696 pieces 0.35 CPU-seconds a MB of sample and 25 times its bytes of memory (`benchmarks/RESULTS.md`).

Source: Baichuan 2 technical report, section 2.2 "Tokenizer".
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from corpus.config import StrictModel, setting
from sampler.published import Shard
from sampler.tokenizer.sample import DomainSample, draw, plan_sample
from tamis.errors import ConfigError, TamisError
from tamis.progress import SILENT, Progress, step
from tamis.version import RECORD

FORMAT = 2
THREADS = 2  # stored inside the model file: another number is another digest
FIXED: dict[str, Any] = {
    "model_type": "bpe",
    "normalization_rule_name": "identity",
    "add_dummy_prefix": False,
    "remove_extra_whitespaces": False,
    "split_digits": True,
    "allow_whitespace_only_pieces": True,
    "byte_fallback": True,
    "unk_id": 0,
    "bos_id": 1,
    "eos_id": 2,
    "pad_id": -1,
    "num_threads": THREADS,
}
"""Settings that cannot be configured."""
_LINE_CHARS = 4096  # longer lines are cut: within one "word" SentencePiece can address 65,536 characters


class TokenizerConfig(StrictModel):
    """What a mixture says about its tokenizer."""

    vocab_size: int = setting(8192, "Pieces in all; the report's has 125,696.", unit="pieces", ge=300, le=1 << 20)
    sample_bytes: int = setting(
        8_000_000, "UTF-8 bytes of whole documents, drawn by hash; more cost time and memory.", unit="bytes", ge=1000
    )
    domain_factors: dict[str, Annotated[float, Field(ge=0)]] = setting(
        {}, "Domain, or a glob over domains, to how much likelier its documents are drawn.", unit="factor"
    )
    character_coverage: float = setting(
        0.9999,
        "Share of the sample's characters that get a piece of their own; others are spelled in bytes.",
        unit="share",
        source="Baichuan 2, 2.2",
        gt=0.9,
        le=1.0,
    )
    max_piece_chars: int = setting(32, "The longest piece.", unit="characters", source="Baichuan 2, 2.2", ge=1, le=512)


@dataclass(frozen=True, kw_only=True)
class TrainedTokenizer:
    """A new model."""

    model: bytes  # the bytes of the `.model` file
    settings: dict[str, Any]  # all that the bytes depend on; JSON
    domains: dict[str, DomainSample]  # what each domain gave to the sample

    @property
    def digest(self) -> str:
        """Hex sha256 of the model."""
        return hashlib.sha256(self.model).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """What is stored beside the model."""
        drawn = {domain: sample.to_json() for domain, sample in self.domains.items()}
        return {**RECORD, **self.settings, "digest": self.digest, "sampled": drawn}


def training_settings(shards: dict[str, list[Shard]], config: TokenizerConfig, seed: int) -> dict[str, Any]:
    """All that a model depends on, as JSON: equal settings, equal bytes."""
    return {
        "format": FORMAT,
        "seed": seed,
        "fixed": FIXED,
        **config.model_dump(),
        "shards": {domain: [shard.digest for shard in items] for domain, items in shards.items()},
    }


def train_model(
    shards: dict[str, list[Shard]], config: TokenizerConfig, seed: int, progress: Progress = SILENT
) -> TrainedTokenizer:
    """Train a model on the training split; the same shards, settings and seed give the same bytes.

    Raises:
        ConfigError: the corpus is too small for the vocabulary, or the vocabulary for the corpus's characters, or a
        factor is for no domain. TamisError: a shard cannot be read.
    """
    import sentencepiece

    with step(progress, "measuring the domains"):
        plan = plan_sample(shards, config.sample_bytes, config.domain_factors)
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=_lines(_reported(draw(shards, plan, seed), plan, progress)),
            model_writer=model,
            vocab_size=config.vocab_size,
            character_coverage=config.character_coverage,
            max_sentencepiece_length=config.max_piece_chars,
            max_sentence_length=8 * _LINE_CHARS,
            minloglevel=2,
            **FIXED,
        )
    except RuntimeError as error:
        raise _explained(error, config, plan) from error
    progress.finish()
    return TrainedTokenizer(model=model.getvalue(), settings=training_settings(shards, config, seed), domains=plan)


def _reported(texts: Iterable[str], plan: dict[str, DomainSample], progress: Progress) -> Iterator[str]:
    """The same texts; reports how many bytes are drawn, and when SentencePiece has all of them."""
    wanted = round(sum(sample.share * sample.of_bytes for sample in plan.values()))
    with step(progress, "sampling documents (bytes)", wanted):
        for number, text in enumerate(texts):
            if number % 1000 == 0:
                progress.update(sum(sample.bytes for sample in plan.values()))
            yield text
    progress.start("training the tokenizer", 0)


def _lines(texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        for line in text.split("\n"):
            if line.strip() and "\x00" not in line:
                for start in range(0, len(line), _LINE_CHARS):
                    yield line[start : start + _LINE_CHARS]


def _explained(error: RuntimeError, config: TokenizerConfig, plan: dict[str, DomainSample]) -> TamisError:
    message, size = str(error), config.vocab_size
    drawn = f"{sum(d.documents for d in plan.values()):,} of {sum(d.of_documents for d in plan.values()):,}"
    if "too high" in message:
        limit = message.rsplit("<=", 1)[-1].strip(" .")
        return ConfigError(
            f"tokenizer.vocab_size: found {size}; expected at most {limit}: the sample, {drawn} training "
            f"documents, is too small for more"
        )
    if "smaller than required_chars" in message:
        needed = message.split(" vs ", 1)[-1].split(".", 1)[0]
        return ConfigError(
            f"tokenizer.vocab_size: found {size}; expected at least {needed}, better twice that: "
            f"the corpus has that many characters at coverage {config.character_coverage}"
        )
    if "sentences_.empty()" in message or "Input corpus" in message:
        return ConfigError(
            f"tokenizer.vocab_size: found {size}, and there is no text to train it on ({drawn} training "
            f"documents were sampled); expected a corpus with text"
        )
    return TamisError(f"SentencePiece could not train a vocabulary of {size}: {message}.")

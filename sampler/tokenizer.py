"""The SentencePiece BPE of a run, with Baichuan 2's settings.

BPE and not the unigram model, as Baichuan 2 chose; no normalisation and no dummy prefix, so that decoding
gives the text back; numbers in single digits; runs of spaces as pieces, for code; UTF-8 bytes for characters
outside the coverage.

**Newlines.** SentencePiece takes a newline as the end of a training sentence. A document is therefore handed
over line by line, and no piece holds a newline; in encoding, "\n" (like every character the vocabulary lacks)
becomes its byte piece `<0x0A>`, one token, and decodes back. So newlines, tabs, runs of spaces, emoji and NUL
survive a round trip. One character does not: U+2581 (▁), SentencePiece's own mark for a space, decodes as a
space.

**Reproducible.** The sample is `hash(seed, doc_id) < share` over the training split, in doc_id order; the
thread count is fixed, for it is stored in the model; and training reads an iterator and writes to memory,
since a training *file* would put its temporary path into the model's bytes, and so into the digest.

Cost: about 0.3 s a MB of sample, which SentencePiece holds in memory.

Source: Baichuan 2 technical report, section 2.2 "Tokenizer".
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import Field

from corpus.config import StrictModel
from corpus.errors import ConfigError, TamisError
from corpus.files import atomic_file, canonical_json, read_json, write_json
from sampler.progress import Progress, silent
from sampler.shards import Shard, read_rows
from text.hash import uniform

FORMAT = 1
_SAMPLE_SALT = 0x746F6B656E697A65  # the sample must not correlate with other draws from the same seed
_THREADS = 2  # stored inside the model file: another number is another digest
_LINE_CHARS = 4096  # a longer line is cut: SentencePiece addresses 65,536 characters within one "word"
_FIXED: dict[str, Any] = {
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
    "num_threads": _THREADS,
}


class TokenizerConfig(StrictModel):
    """What a mixture says about its tokenizer."""

    vocab_size: int = Field(8192, ge=300, le=1 << 20)
    sample_bytes: int = Field(8_000_000, ge=1000)  # UTF-8 bytes of whole documents
    character_coverage: float = Field(0.9999, gt=0.9, le=1.0)
    max_piece_chars: int = Field(32, ge=1, le=512)


@dataclass(frozen=True, kw_only=True)
class Tokenizer:
    """A loaded model and its identity."""

    digest: str
    processor: Any

    @property
    def vocab_size(self) -> int:
        """Number of pieces, control and byte pieces included."""
        return int(self.processor.vocab_size())

    @property
    def bos_id(self) -> int:
        """Id of <s>."""
        return int(self.processor.bos_id())

    @property
    def eos_id(self) -> int:
        """Id of </s>, which ends every document in the bins."""
        return int(self.processor.eos_id())

    def encode(self, text: str, *, bos: bool = False, eos: bool = False) -> list[int]:
        """Token ids of a text; control pieces only where asked for, never from the text's own "</s>"."""
        found: list[int] = self.processor.encode(text)
        return [self.bos_id] * bos + found + [self.eos_id] * eos

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of many texts, on two threads, without control pieces."""
        found: list[list[int]] = self.processor.encode(list(texts), num_threads=_THREADS)
        return found

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of some tokens; control pieces are silent, broken UTF-8 becomes U+FFFD."""
        return str(self.processor.decode([int(token) for token in tokens]))


def load_tokenizer(folder: Path) -> Tokenizer:
    """Load a stored tokenizer.

    Args:
        folder: `RUN/tokenizer/<digest12>`.

    Raises:
        TamisError: the model is missing or its bytes are not those of its digest.
    """
    settings, path = read_json(folder / "tokenizer.json"), folder / "tokenizer.model"
    try:
        model = path.read_bytes()
    except OSError as error:
        raise TamisError(f"{path}: cannot be read ({error.strerror}).") from error
    digest = hashlib.sha256(model).hexdigest()
    if digest != settings.get("digest"):
        raise TamisError(f"{path}: is corrupt (its sha256 is {digest[:12]}, not {str(settings.get('digest'))[:12]}).")
    return tokenizer_from(model)


def tokenizer_for(
    run: Path, shards: dict[str, list[Shard]], config: TokenizerConfig, seed: int, progress: Progress = silent
) -> Tokenizer:
    """The run's tokenizer of these settings: loaded if it was trained before, trained and stored if not.

    Args:
        run: the run folder.
        shards: its published shards, by domain.
        config: vocabulary and sample.
        seed: of the document sample.
        progress: called while it works.

    Raises:
        ConfigError: the corpus is too small for the vocabulary, or the vocabulary for the corpus's
        characters. TamisError: the stored model is corrupt.
    """
    settings = {
        "format": FORMAT,
        "seed": seed,
        "fixed": _FIXED,
        **config.model_dump(),
        "shards": {domain: [shard.digest for shard in items] for domain, items in shards.items()},
    }
    key = hashlib.sha256(canonical_json(settings)).hexdigest()
    pointer = run / "tokenizer" / f"{key[:12]}.json"
    if pointer.exists():
        return load_tokenizer(run / "tokenizer" / str(read_json(pointer).get("digest"))[:12])
    model = train_tokenizer(shards, config, seed, progress)
    digest = hashlib.sha256(model).hexdigest()
    folder = run / "tokenizer" / digest[:12]
    with atomic_file(folder / "tokenizer.model") as file:
        file.write(model)
    write_json(folder / "tokenizer.json", {**settings, "digest": digest})
    write_json(pointer, {"digest": digest})
    return tokenizer_from(model)


def train_tokenizer(
    shards: dict[str, list[Shard]], config: TokenizerConfig, seed: int, progress: Progress = silent
) -> bytes:
    """Train a model; the same shards, settings and seed give the same bytes.

    Raises:
        ConfigError: as `tokenizer_for`.
    """
    import sentencepiece

    everything = [shard for items in shards.values() for shard in items]
    share = min(1.0, config.sample_bytes / max(1, sum(_text_bytes(shard) for shard in everything)))
    model = io.BytesIO()
    progress("training the tokenizer", 0, 0)
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=_lines(everything, share, seed),
            model_writer=model,
            vocab_size=config.vocab_size,
            character_coverage=config.character_coverage,
            max_sentencepiece_length=config.max_piece_chars,
            max_sentence_length=8 * _LINE_CHARS,
            minloglevel=2,
            **_FIXED,
        )
    except RuntimeError as error:
        raise _explained(error, config, share) from error
    progress("training the tokenizer", 1, 1)
    return model.getvalue()


def _lines(shards: list[Shard], share: float, seed: int) -> Iterator[str]:
    for shard in shards:
        for rows in read_rows(shard):
            chosen = (uniform(seed ^ _SAMPLE_SALT, rows.doc_ids) < share) & ~rows.heldout
            for row in np.flatnonzero(chosen):
                for line in rows.texts[row].split("\n"):
                    if line.strip() and "\x00" not in line:
                        for start in range(0, len(line), _LINE_CHARS):
                            yield line[start : start + _LINE_CHARS]


def _text_bytes(shard: Shard) -> int:
    try:
        file = pq.ParquetFile(shard.path)
    except (pa.ArrowException, OSError) as error:
        raise TamisError(f"{shard.path}: cannot be read as Parquet ({error}).") from error
    with file:
        if "text" not in file.schema_arrow.names:
            raise TamisError(f"{shard.path}: lacks the column text.")
        lengths = (pc.sum(pc.binary_length(b.column(0))).as_py() for b in file.iter_batches(1024, columns=["text"]))
        return sum(length or 0 for length in lengths)


def _explained(error: RuntimeError, config: TokenizerConfig, share: float) -> TamisError:
    message, size = str(error), config.vocab_size
    if "too high" in message:
        limit = message.rsplit("<=", 1)[-1].strip(" .")
        return ConfigError(
            f"key `tokenizer.vocab_size` is {size} (allowed: at most {limit}): the corpus is too small "
            f"for more, as {share:.0%} of its training documents yield no further pieces."
        )
    if "smaller than required_chars" in message:
        needed = message.split(" vs ", 1)[-1].split(".", 1)[0]
        return ConfigError(
            f"key `tokenizer.vocab_size` is {size} (allowed: at least {needed}, better twice that): "
            f"the corpus has that many characters at coverage {config.character_coverage}."
        )
    if "sentences_.empty()" in message or "Input corpus" in message:
        return ConfigError(
            f"key `tokenizer.vocab_size` is {size}, and the training split has no text to train it on "
            f"({share:.0%} of its documents were sampled)."
        )
    return TamisError(f"SentencePiece could not train a vocabulary of {size}: {message}.")


def open_tokenizer(path: Path) -> Tokenizer:
    """A tokenizer from a bare model file, or from the folder of a stored one."""
    if path.is_dir():
        return load_tokenizer(path)
    try:
        return tokenizer_from(path.read_bytes())
    except OSError as error:
        raise TamisError(f"{path}: cannot be read ({error.strerror}).") from error


def tokenizer_from(model: bytes) -> Tokenizer:
    """The tokenizer of a model's bytes."""
    import sentencepiece

    digest = hashlib.sha256(model).hexdigest()
    return Tokenizer(digest=digest, processor=sentencepiece.SentencePieceProcessor(model_proto=model))

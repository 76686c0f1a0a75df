"""The SentencePiece BPE of a run, and other SentencePiece models: load, encode, decode.

For training, and for what survives a round trip, see `sampler.tokenizer.training`. A model is identified by the sha256
of its bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from corpus.files import atomic_file, canonical_json, read_json, write_json
from sampler.published import Shard
from sampler.tokenizer.training import THREADS, TokenizerConfig, train_model, training_settings
from tamis.errors import TamisError
from tamis.progress import SILENT, Progress


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
        """Token ids of a text; control pieces only if asked for: "</s>" in the text is text."""
        found: list[int] = self.processor.encode(text)
        return [self.bos_id] * bos + found + [self.eos_id] * eos

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of many texts, on two threads, without control pieces."""
        found: list[list[int]] = self.processor.encode(list(texts), num_threads=THREADS)
        return found

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of some tokens; control pieces give no text, broken UTF-8 becomes U+FFFD."""
        return str(self.processor.decode([int(token) for token in tokens]))


def load_tokenizer(folder: Path) -> Tokenizer:
    """Load the tokenizer stored in `RUN/tokenizer/<digest12>`.

    Raises:
        TamisError: the model is missing or does not have its digest.
    """
    settings, path = read_json(folder / "tokenizer.json"), folder / "tokenizer.model"
    model = read_model(path)
    digest = hashlib.sha256(model).hexdigest()
    if digest != settings.get("digest"):
        raise TamisError(f"{path}: is corrupt (its sha256 is {digest[:12]}, not {str(settings.get('digest'))[:12]}).")
    return tokenizer_from(model)


def open_tokenizer(path: Path, *, needs_eos: bool = True) -> Tokenizer:
    """Open any SentencePiece model: a bare file, or a folder as `load_tokenizer` knows it. With `needs_eos` it must
    have an end-of-document piece, which token bins need.

    Raises:
        TamisError: it is missing, not a SentencePiece model, or lacks the piece.
    """
    if path.is_dir():
        if not (path / "tokenizer.model").is_file():
            raise TamisError(f"{path}: found no tokenizer.model; expected a .model file, or a folder with one")
        found = load_tokenizer(path)
    else:
        model = read_model(path)
        try:
            found = tokenizer_from(model)
        except RuntimeError:
            raise TamisError(f"{path}: is not a SentencePiece model ({len(model):,} bytes of another kind).") from None
    if needs_eos and found.eos_id < 0:
        raise TamisError(f"{path}: eos_id: found {found.eos_id}; expected 0 or more, an end-of-document piece")
    return found


def tokenizer_for(
    run: Path, shards: dict[str, list[Shard]], config: TokenizerConfig, seed: int, progress: Progress = SILENT
) -> Tokenizer:
    """The run's tokenizer for these settings: loaded if it was trained before, else trained and stored.

    Raises:
        ConfigError: the corpus is too small for the vocabulary, or the vocabulary for the corpus's characters, or a
        factor is for no domain. TamisError: the stored model is corrupt.
    """
    key = hashlib.sha256(canonical_json(training_settings(shards, config, seed))).hexdigest()
    pointer = run / "tokenizer" / f"{key[:12]}.json"
    if pointer.exists():
        return load_tokenizer(run / "tokenizer" / str(read_json(pointer).get("digest"))[:12])
    trained = train_model(shards, config, seed, progress)
    folder = run / "tokenizer" / trained.digest[:12]
    with atomic_file(folder / "tokenizer.model") as file:
        file.write(trained.model)
    write_json(folder / "tokenizer.json", trained.to_json())
    write_json(pointer, {"digest": trained.digest})
    return tokenizer_from(trained.model)


def read_model(path: Path) -> bytes:
    """The bytes of a model file.

    Raises:
        TamisError: it cannot be read, or is empty.
    """
    try:
        model = path.read_bytes()
    except OSError as error:
        raise TamisError(f"{path}: cannot be read ({error.strerror}).") from error
    if not model:
        raise TamisError(f"{path}: is not a SentencePiece model (it is empty).")
    return model


def tokenizer_from(model: bytes) -> Tokenizer:
    """The tokenizer of a model's bytes."""
    import sentencepiece

    digest = hashlib.sha256(model).hexdigest()
    return Tokenizer(digest=digest, processor=sentencepiece.SentencePieceProcessor(model_proto=model))

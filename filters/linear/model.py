"""Linear fastText-type models over words and word bigrams: our own inference on Arrow buffers.

fastText predicts from the mean of its input rows times the output matrix. Both are fixed after training, so
the product is taken once: each word and each bigram bucket then owns one number a label, and a text's score
is a mean of looked-up numbers. A two-label model of 262,144 buckets shrinks from 17 MB to 1 MB and stays in
the cache, which is where the speed comes from; the result is the same up to rounding.

The rules are those of fastText's own predict: an unknown word adds no row but its hash takes part in bigrams,
the end of a line is a word `</s>` and takes part too, word hashes are FNV-1a over sign-extended bytes, and
enter the bigram hash as int32. A text without tokens is scored from `</s>` alone, as fastText does. A
probability is fastText's without the 1e-5 that it adds before its logarithm.

Cost: one tokenisation, a table look-up a token and one a bigram; together 113 to 157 MB/s a core on documents and 89 to
140 on their sentences (`benchmarks/filters/quality_model.py`). Source: Joulin et al. 2016, "Bag of Tricks for
Efficient Text Classification", arXiv:1607.01759; fastText 0.9.2, `dictionary.cc` (getLine, addWordNgrams).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from filters.linear.fasttext_file import SOFTMAX, FastTextFile
from filters.linear.kernels import build_slots, hash_words, score_texts
from tamis.errors import ConfigError
from text.arrow import TextColumn
from text.chars import char_tables
from text.fold import fold
from text.segment import Spans
from text.tokens import NO_FNV

U64 = np.uint64
_END_OF_LINE = b"</s>"
_FORMAT = 1


@dataclass(frozen=True)
class LinearModel:
    """A trained model, ready to score."""

    labels: tuple[str, ...]  # label names by column of `logits`
    word_hashes: npt.NDArray[np.uint64]  # [n_words], Tamis' token hash of each word by row; `</s>` has 0 here
    end_row: int  # row of `</s>`, -1 if the model does not know it
    bucket: int  # number of bigram buckets behind the words; 0 for a model without bigrams
    logits: npt.NDArray[np.float32]  # [n_words + bucket, n_labels], input matrix times transposed output matrix
    digest: str = field(init=False)  # SHA-256 of all of the above
    slot_keys: npt.NDArray[np.uint64] = field(init=False, repr=False)  # [capacity], open addressing of hashes; derived
    slot_rows: npt.NDArray[np.int32] = field(init=False, repr=False)  # [capacity], -1 where free; derived

    def __post_init__(self) -> None:
        if self.logits.shape != (len(self.word_hashes) + self.bucket, len(self.labels)):
            raise ValueError(f"logits have shape {self.logits.shape}, not words + buckets by labels")
        capacity = 1 << max(4, (2 * len(self.word_hashes)).bit_length())
        keys, rows = build_slots(self.word_hashes, self.end_row, capacity)
        object.__setattr__(self, "slot_keys", keys)
        object.__setattr__(self, "slot_rows", rows)
        object.__setattr__(self, "digest", self._digest())

    @classmethod
    def from_fasttext(cls, model: FastTextFile) -> LinearModel:
        """Takes over what `fasttext.train_supervised` learned from lines of space-joined Tamis tokens.

        Raises:
            ValueError: the model uses subwords, longer n-grams, another loss or a quantised dictionary, or
                one of its words is no single token.
        """
        arguments = model.arguments
        if arguments.loss != SOFTMAX or arguments.maxn > 0 or arguments.word_ngrams > 2 or model.pruned is not None:
            raise ValueError("only softmax models over words and bigrams, not pruned, can be taken over")
        hashes = _hash_words(model.words)
        end_row = model.words.index(_END_OF_LINE) if _END_OF_LINE in model.words else -1
        bucket = arguments.bucket if arguments.word_ngrams == 2 else 0
        used = model.inputs[: len(hashes) + bucket]
        logits = np.einsum("rd,ld->rl", used.astype(np.float64), model.outputs.astype(np.float64))
        return cls(tuple(model.labels), hashes, end_row, bucket, logits.astype(np.float32))

    def save(self, folder: Path) -> None:
        """Writes `model.json`, `word_hashes.npy` and `logits.npy`; equal models give equal bytes."""
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / "word_hashes.npy", self.word_hashes)
        np.save(folder / "logits.npy", self.logits)
        about = {**self._about(), "digest": self.digest}
        (folder / "model.json").write_text(json.dumps(about, indent=1, sort_keys=True) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> LinearModel:
        """Reads what `save` wrote.

        Raises:
            ConfigError: the folder holds no model, one of another format, or one whose content is not what
                its digest says.
        """
        try:
            about = json.loads((folder / "model.json").read_text("utf-8"))
            hashes = np.load(folder / "word_hashes.npy", allow_pickle=False)
            logits = np.load(folder / "logits.npy", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise ConfigError(f"{folder} holds no readable linear model: {error}") from error
        if about.get("format") != _FORMAT:
            raise ConfigError(f"{folder} holds a model of format {about.get('format')}, expected {_FORMAT}")
        model = cls(tuple(about["labels"]), hashes, about["end_row"], about["bucket"], logits)
        if model.digest != about["digest"]:
            raise ConfigError(f"{folder}: the model's content does not match its digest {about['digest']}")
        return model

    def _about(self) -> dict[str, object]:
        return {"format": _FORMAT, "labels": list(self.labels), "end_row": self.end_row, "bucket": self.bucket}

    def _digest(self) -> str:
        sha = hashlib.sha256(json.dumps(self._about(), sort_keys=True).encode())
        sha.update(self.word_hashes.astype("<u8").tobytes())
        sha.update(self.logits.astype("<f4").tobytes())
        return sha.hexdigest()


def score(model: LinearModel, column: TextColumn, label: str = "good") -> npt.NDArray[np.float32]:
    """The probability of `label` for each text, float32[n_texts]; 0 where the model knows nothing at all of a text.

    A text is one line of fastText's: no white space is special, as tokens decide.

    Raises:
        ValueError: the model has no such label.
    """
    if label not in model.labels:
        raise ValueError(f"the model has no label {label!r}, only {', '.join(model.labels)}")
    target = model.labels.index(label)
    others = [k for k in range(len(model.labels)) if k != target]
    relative = model.logits[:, others] - model.logits[:, target : target + 1]
    folded = fold(column)
    texts = folded.column
    scores: npt.NDArray[np.float32] = score_texts(
        texts.offsets,
        texts.data,
        folded.done,
        *char_tables(),
        model.slot_keys,
        model.slot_rows,
        np.ascontiguousarray(relative),
        len(model.word_hashes),
        U64(model.bucket),
        model.end_row,
    )
    return scores


def score_spans(model: LinearModel, column: TextColumn, spans: Spans, label: str = "good") -> npt.NDArray[np.float32]:
    """The probability of `label` for each span, scored as if it were a text of its own: float32[n_spans].

    Spans tile their documents, and documents lie back to back: so the spans form a column over the same bytes with
    offsets of its own. Nothing is copied, and no token is hashed twice.
    """
    return score(model, spans.as_column(column), label)


def _hash_words(words: list[bytes]) -> npt.NDArray[np.uint64]:
    offsets = np.zeros(len(words) + 1, np.int64)
    np.cumsum([len(word) for word in words], out=offsets[1:])
    data = np.frombuffer(b"".join(words), np.uint8)
    end_row = words.index(_END_OF_LINE) if _END_OF_LINE in words else -1
    hashes, bad = hash_words(offsets, data, *char_tables(), end_row, NO_FNV)
    if bad >= 0:
        raise ValueError(f"the model's word {words[bad].decode('utf-8', 'replace')!r} is no token of ours")
    found: npt.NDArray[np.uint64] = hashes
    return found

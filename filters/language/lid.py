"""The language of each document, by lid.176, in a kernel of our own.

lid.176.ftz (fastText's language identifier, 176 languages, CC BY-SA 3.0) lies beside this module: each package that
carries it brings a module named `fasttext` too, over the one that trains our models, so none can be asked for beside
`fasttext-community`. fastText's own predict needs one Python string a document and costs more than all the
rest of a chain; here the model is read once (`filters.linear.fasttext_file`) and a numba kernel walks the words
and character 2- to 4-grams of a sample. Of the two million n-gram buckets 42,765 survived pruning: a bit set
says which, a population count says where, so a miss costs one look-up in 250 kB.

The sample is `PIECES` stretches spread over the document, as a page may begin with a menu in another
language. `benchmarks/filters/language_sample.py` measures what it loses. 2,048 bytes in 16 pieces stay within 0.05
points of the whole document's accuracy on each of 15 labelled files and on twenty UDHR languages; in 4 pieces,
technical articles in Chinese under a head of English links lose 2.9 points, and the first 1,024 bytes alone
lose 22.

Where it differs from fastText's predict on the same bytes: the words `</s>` and `__label__…` are ordinary
words here (fastText stops reading at the first and skips the second).

Cost: some 125 to 155 MB/s a core with that sample over mixed documents, 46 to 58 when every byte is read, 50 to
70 on 300-byte reviews; fastText from Python 14 in the same run. Loading takes 30 ms and 4 MB.
Source: Joulin et al. 2016, arXiv:1607.01759 and arXiv:1612.03651; fastText 0.9.2, `dictionary.cc`,
`loss.cc`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from filters.language.label_tree import build_tree, find_paths
from filters.language.lid_kernels import LidTables, build_word_slots, identify_texts
from filters.linear.fasttext_file import HIERARCHICAL_SOFTMAX, FastTextFile, read_fasttext
from tamis.errors import ConfigError
from text.arrow import TextColumn
from text.chars import char_tables

MODEL = Path(__file__).with_name("lid.176.ftz")
"""Tamis's own copy; LICENSE-lid.176.txt says whose it is."""
UNDETERMINED = "und"
"""ISO 639-2 for a text without letters."""
SAMPLE_BYTES = 2048
PIECES = 16
_MIN_PIECE_BYTES = 32


@dataclass(frozen=True, slots=True, eq=False)
class LanguageModel:
    """lid.176, or another model of its kind, laid out for the kernel."""

    labels: tuple[str, ...]  # language codes by output row
    digest: str  # SHA-256 of the model file
    tables: LidTables

    @classmethod
    def from_fasttext(cls, model: FastTextFile, digest: str) -> LanguageModel:
        """Lays a model out.

        Raises:
            ConfigError: the model has another loss, word n-grams, or no character n-grams.
        """
        arguments = model.arguments
        if arguments.loss != HIERARCHICAL_SOFTMAX or arguments.word_ngrams != 1 or arguments.maxn < 1:
            raise ConfigError("a language model must be hierarchical softmax over words and character n-grams")
        n_words, bucket = len(model.words), arguments.bucket
        if model.pruned is None:
            kept = rows = np.arange(bucket, dtype=np.int32)
        else:
            kept, rows = model.pruned[:, 0], model.pruned[:, 1]
        order = np.argsort(kept)
        bits = np.zeros((bucket + 63) // 64 * 64, np.uint8)
        bits[kept] = 1
        per_chunk = bits.reshape(-1, 64).sum(axis=1)
        offsets = np.zeros(n_words + 1, np.int64)
        np.cumsum([len(word) for word in model.words], out=offsets[1:])
        word_bytes = np.frombuffer(b"".join(model.words), np.uint8)
        children = build_tree(model.label_counts)
        tables = LidTables(
            minn=arguments.minn,
            maxn=arguments.maxn,
            bucket=bucket,
            end_row=model.words.index(b"</s>") if b"</s>" in model.words else -1,
            vectors=np.concatenate([model.inputs[:n_words], model.inputs[n_words + rows[order]]]),
            nodes=model.outputs[: len(model.labels) - 1].copy(),
            children=children,
            paths=find_paths(children),
            word_slots=build_word_slots(offsets, word_bytes, 1 << (2 * n_words).bit_length()),
            word_offsets=offsets,
            word_bytes=word_bytes,
            kept_bits=np.packbits(bits, bitorder="little").view("<u8").astype(np.uint64),
            kept_before=(np.cumsum(per_chunk) - per_chunk).astype(np.int32),
        )
        return cls(tuple(model.labels), digest, tables)


def find_model(path: Path | None = None) -> Path:
    """The model file: `path`, or Tamis's own.

    Raises:
        ConfigError: there is no such file.
    """
    if path is not None and not path.is_file():
        raise ConfigError(f"stages.language.model: found {str(path)!r}; expected a file that exists")
    return path or MODEL


def load_model(path: Path | None = None) -> LanguageModel:
    """Reads a model, once a process for each file.

    Raises:
        ConfigError: there is no such file, or it is no such model.
    """
    return _load(find_model(path))


@lru_cache(maxsize=4)
def _load(path: Path) -> LanguageModel:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return LanguageModel.from_fasttext(read_fasttext(path), digest)


def identify(
    column: TextColumn, model_path: Path | None = None, *, sample_bytes: int = SAMPLE_BYTES, pieces: int = PIECES
) -> tuple[pa.DictionaryArray, npt.NDArray[np.float32]]:
    """The most likely language of each text and its probability, by lid.176 alone; arguments as of `language.detect`.

    Returns:
        codes: dictionary<int16, string>[n_docs], ISO 639-1 where there is one; scores: float32[n_docs].
        A text whose sample holds no letter is ("und", 0).

    Raises:
        ConfigError: there is no model.
        ValueError: `sample_bytes` is negative or `pieces` is not positive.
    """
    sample, pieces = sample_and_pieces(column, sample_bytes, pieces)
    model = load_model(model_path)
    classes = char_tables().classes
    codes, scores = identify_texts(column.offsets, column.data, classes, sample, pieces, model.tables)
    names = pa.array([*model.labels, UNDETERMINED], pa.string())
    return pa.DictionaryArray.from_arrays(pa.array(codes, pa.int16()), names), scores


def sample_and_pieces(column: TextColumn, sample_bytes: int, pieces: int) -> tuple[int, int]:
    """The bytes that the kernels read of a text at most, and the stretches of a longer one's sample.

    Raises:
        ValueError: `sample_bytes` is negative or `pieces` is not positive.
    """
    if sample_bytes < 0 or pieces < 1:
        raise ValueError("sample_bytes must be 0 (all) or more, pieces 1 or more")
    longest = int(column.lengths.max(initial=0))
    sample = max(min(sample_bytes, longest) if sample_bytes else longest, 1)
    return sample, min(pieces, max(1, sample // _MIN_PIECE_BYTES))

"""The language of each document and of its lines: lid.176 and script rules.

`detect` finds the language of each document: by lid.176, unless the document's script decides
(`filters.language.scripts`). The lines of the same sample are judged one by one, which tells how much of the document
is in one language: a page in one, a text beside its translation, an article under a foreign menu. Only the sample's
lines are judged, as to read every line costs more than twice as much; `benchmarks/filters/language_accuracy.py`
measures the difference.

`detect_lines` finds the language of every line of every document, each read whole.

A score is the model's probability of the language that is named, except where a script decides:

- the only language of a script that lid.176 knows: the share of the letters' bytes that are of the script. So Tigrinya
  is called "am" and Dzongkha "bo", with a high score;
- Chinese: that share, times one minus the model's probability of the likeliest other language in Han characters.

The document's language is not a vote of its lines: where the two differ, the document's is right more often.

A line counts when it has `LINE_LETTERS` bytes of letters and a score of `LINE_SCORE`; shorter and doubtful ones are
"und", whatever stands beside them: lid.176 names a language for any scrap of text.

Cost, beside lid.176 alone: 3 ms a MB of English, 2 of Chinese, 3 to 4 of texts under 300 bytes; 83 against 106 MB/s a
core over the labelled files.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from filters.language.lid import PIECES, SAMPLE_BYTES, UNDETERMINED, LanguageModel, load_model, sample_and_pieces
from filters.language.rules import ScriptRules, detect_texts
from filters.language.scripts import HAN, languages_by_script, line_end, script_table
from tamis.kernels import kernel
from text.arrow import TextColumn

LINE_LETTERS = 24
LINE_SCORE = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Languages:
    """What texts are written in."""

    codes: pa.DictionaryArray  # <int16, string>[n], ISO 639-1 where there is one; "und" for a text without letters
    scores: npt.NDArray[np.float32]  # [n], 0 to 1; 0 for "und"
    letters: npt.NDArray[np.int32]  # [n], UTF-8 bytes of the letters in the sample
    # [n], which part of the letters in lines that count is in lines of the text's language; NaN where no line counts
    shares: npt.NDArray[np.float32]
    seconds: pa.DictionaryArray  # <int16, string>[n], that with most letters in the other lines; null where none


@dataclass(frozen=True, slots=True, eq=False)
class LineLanguages:
    """What each line of some documents is written in."""

    ptr: npt.NDArray[np.int64]  # [n_docs + 1]; document i has the lines `ptr[i]` to `ptr[i + 1]`; an empty one none
    lines: TextColumn  # the lines as a column over the same bytes, breaks included
    codes: pa.DictionaryArray  # <int16, string>[n_lines], "und" for one with too few letters or too low a score
    scores: npt.NDArray[np.float32]  # [n_lines], 0 for "und"


def detect(
    column: TextColumn, model_path: Path | None = None, *, sample_bytes: int = SAMPLE_BYTES, pieces: int = PIECES
) -> Languages:
    """The language of each text, and how far its lines agree.

    Of a document `sample_bytes` are looked at (0: all), in `pieces` stretches spread evenly from the beginning to the
    end. The model is by default the one that `filters.language.lid.find_model` finds.

    Raises:
        ConfigError: there is no model.
        ValueError: `sample_bytes` is negative or `pieces` is not positive.
    """
    sample, pieces = sample_and_pieces(column, sample_bytes, pieces)
    model = load_model(model_path)
    codes, scores, letters, shares, seconds = detect_texts(
        column.offsets, column.data, sample, pieces, LINE_LETTERS, LINE_SCORE, rules_of(model), model.tables
    )
    names = pa.array([*model.labels, UNDETERMINED], pa.string())
    return Languages(
        pa.DictionaryArray.from_arrays(pa.array(codes), names),
        scores,
        letters,
        shares,
        pa.DictionaryArray.from_arrays(pa.array(seconds, mask=seconds < 0), names),
    )


def detect_lines(column: TextColumn, model_path: Path | None = None) -> LineLanguages:
    """The language of every line, each read whole.

    A line ends behind `\\n`, `\\r\\n`, `\\r`, U+0085, U+2028 or U+2029.

    Raises:
        ConfigError: there is no model.
    """
    ptr, offsets = _line_offsets(column.offsets, column.data)
    lines = TextColumn(offsets, column.data)
    found = detect(lines, model_path, sample_bytes=0)
    doubtful = (found.letters < LINE_LETTERS) | (found.scores < np.float32(LINE_SCORE))
    names = found.codes.dictionary
    codes = np.where(doubtful, len(names) - 1, found.codes.indices.to_numpy()).astype(np.int16)
    scores = np.where(doubtful, np.float32(0), found.scores)
    return LineLanguages(ptr, lines, pa.DictionaryArray.from_arrays(pa.array(codes), names), scores)


@lru_cache(maxsize=4)
def rules_of(model: LanguageModel) -> ScriptRules:
    """The script rules for a model's labels."""
    labels = model.labels
    allowed = languages_by_script(labels)
    only = np.where(allowed.sum(1) == 1, allowed.argmax(1), -1).astype(np.int16)
    chinese, japanese = (labels.index(label) if label in labels else -1 for label in ("zh", "ja"))
    others = np.flatnonzero(allowed[HAN]).astype(np.int16)
    return ScriptRules(script_table(), allowed, only, chinese, others[others != chinese], japanese)


@kernel
def _line_offsets(offsets, data):  # type: ignore[no-untyped-def]
    """The lines of each text: ptr int64[n_texts + 1], and where each begins, int64[n_lines + 1] with the end."""
    ptr = np.zeros(len(offsets), np.int64)
    for filling in range(2):
        starts = np.empty(ptr[-1] + 1, np.int64)
        n = 0
        for d in range(len(offsets) - 1):
            i = offsets[d]
            while i < offsets[d + 1]:
                if filling:
                    starts[n] = i
                n += 1
                i = line_end(data, i, offsets[d + 1])
            ptr[d + 1] = n
        starts[-1] = offsets[-1]
    return ptr, starts

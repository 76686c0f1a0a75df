"""What the filters of a pipeline say about some texts in memory, by their own kernels, without Spark.

Each function gives the columns of the same names and types that the stage would leave for documents of these texts.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from pipelines.notebook.texts import Column
from tamis.errors import told_briefly

if TYPE_CHECKING:
    from pipelines.notebook.texts import Texts


@told_briefly
def language(texts: Texts) -> pa.Table:
    """The language of each text, and how far its lines agree: lid.176 and rules by script.

    Returns:
        A table, a row a text: `language` string, ISO 639-1 where it has a code, "und" without letters;
        `language_score` float32, 0 to 1; `language_share` float32, of the letters in lines that have a language those
        in lines of this one, null where no line has one; `second_language` string, null where there is none. All null
        where the text is None.

    Raises:
        ConfigError: `texts` are none.
    """
    from filters.language.detect import detect

    column = Column(texts)
    found = detect(column.text)
    return column.table(
        {
            "language": found.codes.cast(pa.string()),
            "language_score": found.scores,
            "language_share": pa.array(found.shares, from_pandas=True),
            "second_language": found.seconds.cast(pa.string()),
        }
    )


@told_briefly
def quality(texts: Texts, model: str | Path | None = None) -> pa.Array:
    """The mean score of each text's sentences, weighted by length: what stage `sentence_quality` writes as `quality`.

    `model` is the folder of a trained model, such as `RUN/models/sentence_quality/<hash>`. Without one it is that which
    the default pipeline trains from the packaged references: trained once, in half a minute, and kept in the cache
    folder (`$TAMIS_CACHE`, else `~/.cache/tamis`) under a digest of settings and references. It shows the mechanism,
    not quality.

    Returns:
        float32[n], 0 to 1; 0 for a text without sentences, null where it is None.

    Raises:
        ConfigError: `texts` are none, there is no such model, or the references are not installed; the sentence says
            what to install.
    """
    from filters.quality.decide import document_quality
    from filters.quality.model import SentenceModel
    from text.segment import sentences

    column = Column(texts)
    loaded = SentenceModel.load(_default_model() if model is None else Path(model))
    spans = sentences(column.text)
    lengths = (spans.ends(column.text) - spans.starts).astype(np.int64)
    return column.array(document_quality(loaded.score(column.text, spans), lengths, spans.ptr))


def _default_model() -> Path:
    from filters.quality.training import train
    from pipelines.run.config import load_pipeline
    from pipelines.stages.sentence_quality import SentenceQualityEvidence
    from pipelines.stages.trained_model import model_folder
    from tamis.cache import cache_folder
    from tamis.places import CONF

    evidence = load_pipeline(CONF / "pipelines" / "default.yaml").evidence("sentence_quality")
    assert isinstance(evidence, SentenceQualityEvidence) and evidence.training is not None
    base = CONF / "pipelines"
    folder = model_folder("sentence_quality", evidence.training, base, cache_folder() / "models" / "sentence_quality")
    if not folder.exists():
        train(evidence.training, base, folder)
    return folder


@told_briefly
def heuristics(texts: Texts, thresholds: Mapping[str, Any] | None = None) -> pa.Table:
    """Which rule of the heuristic filter each text fails first, and the features that the rules judge by.

    `thresholds` are settings of stage `heuristic_filter`, as in a pipeline: `{"spaced": {"min_words": 20}}`, None for a
    rule switches it off.

    Returns:
        A table, a row a text: `reason` string, such as `gopher_dup_lines`, null where the text would be kept (or is
        None); then the features, int32 counts and float32 shares (0 to 1), as `filters.heuristic.features` describes
        them, null where the text is None.

    Raises:
        ConfigError: `texts` are none, or there is no such setting.
    """
    from corpus.config import parse
    from filters.heuristic.decide import KEEP, REASONS, decide, scan
    from filters.heuristic.thresholds import HeuristicThresholds

    config = parse(HeuristicThresholds, dict(thresholds or {}), "thresholds")
    column = Column(texts)
    features = scan(column.text)
    codes = decide(features, config)
    reasons = pa.array(np.array(REASONS, dtype=object)[codes], pa.string(), mask=codes == KEEP)
    return column.table({"reason": reasons, **features})


@told_briefly
def personal_data(texts: Texts, placeholders: Mapping[str, str | None] | None = None) -> pa.Table:
    """Personal data by form and check digit: how much there is, and the text without it.

    `placeholders` are settings of stage `pii`: what is put in the place of a kind, None to leave it.

    Returns:
        A table, a row a text: `text` large_string, in which `<EMAIL>`, `<CN_ID>`, `<IBAN>`, `<BANK_CARD>`, `<PHONE>`
        and `<IP>` stand for what was found; `pii_email`, `pii_cn_id`, `pii_iban`, `pii_bank_card`, `pii_phone`,
        `pii_ip` int32, how many were found, replaced or not. All null where the text is None.

    Raises:
        ConfigError: `texts` are none, or there is no such kind.
    """
    from corpus.config import parse
    from corpus.view import Edits, build_view
    from filters.pii.find import KINDS, find
    from pipelines.stages.pii import COUNTED, PiiDecision

    put = parse(PiiDecision, dict(placeholders or {}), "placeholders").model_dump()
    column = Column(texts)
    found = find(column.text)
    n, rows, kinds = len(column), found.documents().astype(np.int32), [KINDS[kind] for kind in found.kind.tolist()]
    counts = {f"pii_{kind}": np.bincount(rows[found.kind == KINDS.index(kind)], minlength=n) for kind in COUNTED}
    chosen = np.array([put[kind] is not None for kind in kinds], np.bool_)
    written: list[str | None] = [put[kind] for kind in kinds if put[kind] is not None]
    edits = Edits.none(n).merged(rows[chosen], found.start[chosen], found.end[chosen], written)
    view = build_view(column.text, edits, np.arange(n, dtype=np.int32)).column
    return column.table({"text": view.to_arrow(), **{name: of.astype(np.int32) for name, of in counts.items()}})

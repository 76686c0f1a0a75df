"""The model of a stage that scores text: one that its config names, or one that the pipeline trains from references."""

from __future__ import annotations

from pathlib import Path

from corpus.files import stable_hash
from filters.quality.references import reference_identity
from filters.quality.training import WordsTraining, train
from pipelines.stages.context import PrepareContext


def trained_model(stage: str, model: str | None, training: WordsTraining | None, context: PrepareContext) -> Path:
    """The folder of the model that the config names; else of one trained now, or before from the same text."""
    if model is not None:
        return (context.base / model).absolute()
    assert training is not None
    folder = model_folder(stage, training, context.base, context.models)
    if not folder.exists():
        with context.cluster.step(f"{stage}: train"):
            train(training, context.base, folder)
    return folder


def model_folder(stage: str, training: WordsTraining, base: Path, models: Path) -> Path:
    """Where below `models` the model of a training belongs: named by a hash of its settings and reference text."""
    keys = [f"stages.{stage}.training.references[{i}]" for i in range(len(training.references))]
    texts = [reference_identity(r, key, base) for r, key in zip(training.references, keys, strict=True)]
    return models / stable_hash([training.model_dump(mode="json"), texts])

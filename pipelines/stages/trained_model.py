"""The model of a stage that scores text: one that its config names, or one that the pipeline trains from references."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from corpus.files import stable_hash
from filters.quality.references import look_for_text, reference_identity
from filters.quality.training import WordsTraining, open_trainer, train
from pipelines.stages.base import complaint
from pipelines.stages.context import PrepareContext
from text.tokens import VERSION as TOKENS


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
    keyed = zip(training.references, _keys(stage, training), strict=True)
    texts = [reference_identity(reference, key, base) for reference, key in keyed]
    return models / stable_hash([TOKENS, training.model_dump(mode="json"), texts])


def missing_model(
    stage: str, model: str | None, training: WordsTraining | None, base: Path, load: Callable[[Path], object]
) -> Iterator[str]:
    """What `trained_model` and `load` would not find: the model, or the text and the library to train one."""
    if model is not None:
        for said in complaint(lambda: load((base / model).absolute())):
            yield f"stages.{stage}.model: {said}"
    elif training is not None:
        yield from (f"stages.{stage}.training: {said}" for said in complaint(open_trainer))
        for reference, key in zip(training.references, _keys(stage, training), strict=True):
            yield from complaint(partial(look_for_text, reference, key, base))


def _keys(stage: str, training: WordsTraining) -> list[str]:
    return [f"stages.{stage}.training.references[{i}]" for i in range(len(training.references))]

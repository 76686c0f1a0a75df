"""What a run needs and does not find is told before it reads a byte: all of it at once, a sentence each.

A run of hours that stops for a package or a file which could have been looked for at its beginning wastes the hours.
Each stage says what it lacks (`Stage.missing`), by the functions that load the thing later; here that is gathered,
with what is no stage's: inputs, the earlier run, Java, the right to write. `tamis plan` shows the list, a run refuses.

What is looked for is looked for on this machine: executors elsewhere are taken to have the same environment.

Cost: 0.1 s for the default pipeline, most of it to import FAISS; for inputs in a store, a listing of it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from corpus.config import parse
from corpus.files import load_manifest
from corpus.inputs import refuse_unreadable, resolve_inputs
from corpus.run_folder import RunFolder
from pipelines.run.ancestors import open_ancestors
from pipelines.run.config import PipelineConfig
from pipelines.run.ingest import find_inputs
from pipelines.spark.session import look_for_java
from pipelines.stages.base import complaint
from pipelines.stages.own import told
from tamis.errors import ConfigError, TamisError


def refuse_what_is_missing(
    config: PipelineConfig, base: Path, run: RunFolder, against: Path | None, steps: Sequence[str]
) -> None:
    """Refuses to begin a run that would stop for want of something; leaves nothing behind.

    `steps` are those to come after the ingest, stages and others; relative names start from `base`.

    Raises:
        ConfigError: all that is missing, a line each where there are several.
    """
    found = list(complaint(lambda: _try_to_write(run.root)))
    if load_manifest(run.ingest_folder) is None:
        found += missing_inputs(config, base)
    found += complaint(lambda: open_ancestors(against, config))
    found += missing(config, base, steps)
    if len(found) > 1:
        found.insert(0, f"{len(found)} things that {config.name} needs are missing here:")
    if found:
        raise ConfigError("\n  ".join(found))


def missing(config: PipelineConfig, base: Path, steps: Sequence[str]) -> Iterator[str]:
    """What those steps lack here, a sentence each: what stages need, a Java."""
    for name in steps:
        if name in config.stages:
            yield from _missing_of(config, name, base)
    yield from complaint(look_for_java)


def _missing_of(config: PipelineConfig, name: str, base: Path) -> Iterator[str]:
    kind = config.kind(name)
    decision = parse(kind.Decision, config.decisions(name)["default"], f"stages.{name}")
    with told(kind, "missing"):
        try:
            yield from kind.missing(config.evidence(name), decision, base)
        except TamisError as error:
            yield str(error)


def missing_inputs(config: PipelineConfig, base: Path) -> Iterator[str]:
    """Inputs that match no file or cannot be told apart, and local files without the right to read them."""
    try:
        files = find_inputs(config, base)
    except ConfigError as error:  # once more, path by path: the first that fails hides the others
        paths = [(i, number) for i, one in enumerate(config.inputs) for number in range(len(one.paths))]
        yield from [said for at in paths for said in complaint(partial(_look_for, config, *at, base))] or [str(error)]
        return
    for index in range(len(config.inputs)):
        own = [file.uri for file in files if file.config_index == index]
        yield from complaint(partial(refuse_unreadable, own, f"inputs[{index}].paths"))


def _look_for(config: PipelineConfig, index: int, number: int, base: Path) -> None:
    one, where = config.inputs[index], f"inputs[{index}].paths[{number}]"
    alone = one.model_copy(update={"paths": one.paths[number : number + 1]})
    refuse_unreadable((f.uri for f in resolve_inputs([alone], base_dir=base, where=lambda *_: where)), where)


def _try_to_write(root: Path) -> None:
    """Makes a file that has no name in the run folder, or in the nearest folder above that exists, and drops it."""
    nearest = next(folder for folder in (root, *root.parents) if folder.exists())
    inside = [path for path in root.iterdir() if path.is_dir()] if nearest == root and root.is_dir() else []
    for folder in (nearest, *inside):
        try:
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise ConfigError(
                f"--out: found {str(root)!r}, where {str(folder)!r} cannot be written ({error.strerror}); expected a "
                "folder of one's own"
            ) from None

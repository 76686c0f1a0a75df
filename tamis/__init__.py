"""What every room needs and none owns: errors, caches, where the configuration lies; and the door, `import tamis`.

For whoever uses Tamis from Python. The names of `__all__` are all that is promised; each lies in a room, which is
imported when its name is asked for. So `import tamis` itself, which every executor does, starts nothing and costs some
9 ms of CPU, most of it a look at `sys.path` (`tamis.collisions`). The door stands above all rooms, and no room may ask
it for a name; the modules of this folder stand below them.
"""

from __future__ import annotations

from importlib import import_module

from tamis.collisions import refuse_strangers

refuse_strangers()

TYPE_CHECKING = False  # typing's own, which type checkers know by its name, without the cost of typing
if TYPE_CHECKING:
    from corpus.config import StrictModel as StrictModel
    from corpus.config import setting as setting
    from corpus.reading.opened_run import Run as Run
    from corpus.records import Bad as Bad
    from corpus.records import Record as Record
    from pipelines.notebook.duplicates import exact_duplicates as exact_duplicates
    from pipelines.notebook.duplicates import near_duplicate_pairs as near_duplicate_pairs
    from pipelines.notebook.duplicates import near_duplicates as near_duplicates
    from pipelines.notebook.filters import heuristics as heuristics
    from pipelines.notebook.filters import language as language
    from pipelines.notebook.filters import personal_data as personal_data
    from pipelines.notebook.filters import quality as quality
    from pipelines.notebook.run import open_run as open_run
    from pipelines.notebook.run import run as run
    from pipelines.stages.base import Batch as Batch
    from pipelines.stages.base import Column as Column
    from pipelines.stages.base import LocalStage as Stage
    from pipelines.stages.base import Verdict as Verdict
    from pipelines.stages.keep_function import Document as Document
    from sampler.batches import Batches as Batches
    from sampler.batches import stream as stream
    from sampler.mixture import Mixture as Mixture
    from tamis.errors import TamisError as TamisError
    from tamis.version import VERSION as __version__
else:  # a type checker that saw it would take any name for one of ours

    def __getattr__(name: str) -> object:
        """A name of `__all__`, imported when it is first asked for (PEP 562)."""
        if name not in _PLACES:
            raise AttributeError(f"module 'tamis' has no attribute {name!r}; it has {', '.join(__all__)}")
        module, _, other = _PLACES[name].rpartition(".")
        found = globals()[name] = getattr(import_module(module), other)
        return found


_PLACES = {
    "run": "pipelines.notebook.run.run",
    "open_run": "pipelines.notebook.run.open_run",
    "Run": "corpus.reading.opened_run.Run",
    "stream": "sampler.batches.stream",
    "Batches": "sampler.batches.Batches",
    "Mixture": "sampler.mixture.Mixture",
    "near_duplicates": "pipelines.notebook.duplicates.near_duplicates",
    "near_duplicate_pairs": "pipelines.notebook.duplicates.near_duplicate_pairs",
    "exact_duplicates": "pipelines.notebook.duplicates.exact_duplicates",
    "language": "pipelines.notebook.filters.language",
    "quality": "pipelines.notebook.filters.quality",
    "heuristics": "pipelines.notebook.filters.heuristics",
    "personal_data": "pipelines.notebook.filters.personal_data",
    "Stage": "pipelines.stages.base.LocalStage",
    "Batch": "pipelines.stages.base.Batch",
    "Verdict": "pipelines.stages.base.Verdict",
    "Column": "pipelines.stages.base.Column",
    "Document": "pipelines.stages.keep_function.Document",
    "StrictModel": "corpus.config.StrictModel",
    "setting": "corpus.config.setting",
    "Record": "corpus.records.Record",
    "Bad": "corpus.records.Bad",
    "TamisError": "tamis.errors.TamisError",
    "__version__": "tamis.version.VERSION",
}
"""Name → what it is, in its module."""

__all__ = [  # noqa: F822 - a list for type checkers, which take these names from here
    "Bad",
    "Batch",
    "Batches",
    "Column",
    "Document",
    "Mixture",
    "Record",
    "Run",
    "Stage",
    "StrictModel",
    "TamisError",
    "Verdict",
    "__version__",
    "exact_duplicates",
    "heuristics",
    "language",
    "near_duplicate_pairs",
    "near_duplicates",
    "open_run",
    "personal_data",
    "quality",
    "run",
    "setting",
    "stream",
]


def __dir__() -> list[str]:
    """What `dir(tamis)` and a notebook's Tab show."""
    return __all__

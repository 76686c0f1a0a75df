"""The document weights of a run, by the name of their curves: expected copies an epoch, one file a published shard.

A run has `RUN/weights/<hash>/<domain>/<shard>.parquet` for every set of curves that it was scored with, and its state
names the current set. A mixture takes the current one, another by its name (`weights.name` of the pipeline) or the
beginning of its hash, or none, which means 1.0 for every document.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from corpus.files import file_digest, load_manifest
from corpus.run_folder import RunFolder
from tamis.errors import ConfigError, TamisError

CURRENT, NONE = "current", "none"


@dataclass(frozen=True, kw_only=True)
class Weights:
    """One set of weights."""

    folder: Path | None = None  # `RUN/weights/<hash>`, or None for 1.0 everywhere
    digests: dict[str, str] = field(default_factory=dict)  # file → sha256, of those that the folder's manifest lists
    partial: bool = False  # whether `read` may be given only the first documents of a shard, as a first look does

    @classmethod
    def none(cls) -> Weights:
        """1.0 for every document."""
        return cls()

    def where(self, shard: str) -> str:
        """The file of a shard, for messages."""
        return str(self.folder / f"{shard}.parquet") if self.folder else f"the weights of {shard}"

    def digest_of(self, shard: str) -> str:
        """The sha256 of a shard's weights, "none" for 1.0 everywhere.

        Raises:
            TamisError: they are missing.
        """
        if self.folder is None:
            return NONE
        name = f"{shard}.parquet"
        if name not in self.digests:
            if not (self.folder / name).exists():
                raise TamisError(f"{self.folder / name}: is missing; score the run again, these bins are of another.")
            self.digests[name] = file_digest(self.folder / name)
        return self.digests[name]

    def read(self, shard: str, doc_ids: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Weights of the documents of `<domain>/<shard>` that the file must be for: float32[n], expected copies an
        epoch.

        Raises:
            TamisError: the file is for other documents, or a weight is negative or not finite.
        """
        if self.folder is None:
            return np.ones(len(doc_ids), np.float32)
        path, table = self.folder / f"{shard}.parquet", self._table(shard)
        table = table.slice(0, len(doc_ids)) if self.partial else table
        if not np.array_equal(table["doc_id"].to_numpy(), doc_ids):
            raise TamisError(f"{path}: its documents are not those of the shard {shard}; score the run again.")
        found: npt.NDArray[np.float32] = table["weight"].to_numpy().astype(np.float32)
        if not np.isfinite(found).all() or (found < 0).any():
            raise TamisError(f"{path}: holds a weight that is negative or not finite.")
        return found

    def read_first(self, shard: str) -> npt.NDArray[np.float32] | None:
        """A shard's weights in order, without a check of their documents; None for 1.0 everywhere."""
        return None if self.folder is None else self._table(shard)["weight"].to_numpy().astype(np.float32)

    def _table(self, shard: str) -> pa.Table:
        path = Path(self.where(shard))
        try:
            return pq.read_table(path, columns=["doc_id", "weight"], partitioning=None)
        except (pa.ArrowException, OSError) as error:
            raise TamisError(f"{path}: cannot be read as weights ({error}).") from error


def find_weights(run: Path, curve: str = CURRENT) -> Weights:
    """The weights of a run: `current`, `none`, the name of a set of curves, or the beginning of its hash.

    Raises:
        ConfigError: no set of curves has that name or hash, or more than one has.
        TamisError: state.json is broken.
    """
    if curve == NONE:
        return Weights.none()
    if curve == CURRENT:
        current = weights_hash(run)
        return Weights.none() if current is None else _open(run / "weights" / current)
    names = _names(run)
    found = [folder for folder, name in names.items() if curve == name or curve and folder.startswith(curve)]
    if len(found) != 1:
        known = ", ".join(f"{name} ({folder[:8]})" if name else folder[:8] for folder, name in sorted(names.items()))
        what = "is no set of curves" if not found else f"names {len(found)} sets of curves"
        raise ConfigError(
            f"curve: found {curve!r}, which {what} of {run}; expected current, none, {known or 'no other'}"
        )
    return _open(run / "weights" / found[0])


def weights_hash(run: Path) -> str | None:
    """The curve hash that `RUN/state.json` names, or None where the run has no weights.

    Raises:
        TamisError: state.json is broken, or its `weights` is not a string.
    """
    found = RunFolder(run).state().get("weights")
    if found is not None and not isinstance(found, str):
        raise TamisError(f"{run / 'state.json'}: weights: found {found!r}; expected a curve hash")
    return found


def _open(folder: Path) -> Weights:
    manifest = load_manifest(folder)
    return Weights(folder=folder, digests={f.path: f.digest for f in manifest.files} if manifest else {})


def _names(run: Path) -> dict[str, str]:
    """Folder → the name of its set of curves, empty if it has none."""
    manifests = (load_manifest(folder) for folder in sorted((run / "weights").glob("*")) if folder.is_dir())
    return {m.folder.name: str(m.body.get("config", {}).get("name") or "") for m in manifests if m is not None}

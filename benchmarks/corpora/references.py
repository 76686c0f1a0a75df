"""Lists of reference sets whose files lie in the shared data folder, wherever that is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from corpus.config import load_yaml


def read_references(path: Path, data: Path) -> dict[str, Any]:
    """A list of references with the paths of a data folder in the place of its own.

    Args:
        path: a YAML file such as `benchmarks/shared_references.yaml`.
        data: the folder.
    """
    body = load_yaml(path)
    for reference in body["references"]:
        reference["paths"] = [str(data.resolve() / Path(name).name) for name in reference["paths"]]
    return body

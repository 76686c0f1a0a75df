"""Build the one zip that `spark-submit --py-files` carries to the executors.

A zip and not a wheel, because Spark in local mode silently ignores wheels in `--py-files`. It holds our packages and
`conf/`, and is *reproducible*: names are sorted, timestamp and mode are fixed, so its digest changes only when the code
does. Executors name their unpacked copy by that digest. Only the standard library is used, so that the zip can be built
before anything is installed.

    python -m pipelines.spark.package --out dist/tamis.zip
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from tamis.places import ROOT

PACKAGES = ("tamis", "corpus", "text", "filters", "dedup", "pipelines", "jobs", "sampler", "trainer", "cli")
CONFIGURATION = "conf"
CONFIGURATION_SUFFIXES = (".yaml", ".yml", ".conf", ".json", ".txt")
EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip can say
_MODE = 0o100644 << 16


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, build the zip and print its path, size and digest."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.spark.package", description="Build the executors' zip.")
    parser.add_argument("--out", type=Path, default=Path("dist/tamis.zip"), help="the zip to write")
    parser.add_argument("--root", type=Path, default=ROOT, help="the folder that holds the packages")
    options = parser.parse_args(arguments)
    digest = build_zip(options.root, options.out)
    size = options.out.stat().st_size
    print(f"{options.out}  {size:,} bytes  sha256 {digest}")
    return 0


def build_zip(root: Path, out: Path) -> str:
    """Write `out` from the packages and configuration below `root`; return its SHA-256 in hex.

    The zip is renamed into place, so that a job which starts meanwhile reads the old one or the new one.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=out.parent, prefix=f".{out.name}-")
    try:
        with (
            os.fdopen(descriptor, "wb") as file,
            zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive,
        ):
            for path in members(root):
                info = zipfile.ZipInfo(path.relative_to(root).as_posix(), date_time=EPOCH)
                info.compress_type = zipfile.ZIP_DEFLATED
                info.create_system = 3  # Unix, whatever built it
                info.external_attr = _MODE
                archive.writestr(info, path.read_bytes())
        os.chmod(temporary, 0o644)
        os.replace(temporary, out)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return hashlib.sha256(out.read_bytes()).hexdigest()


def members(root: Path) -> Iterator[Path]:
    """Yield the files that belong into the zip, sorted by name as bytes (not by locale)."""
    found = [path for package in PACKAGES for path in (root / package).rglob("*") if _is_code(path)]
    found += [path for path in (root / CONFIGURATION).rglob("*") if path.suffix in CONFIGURATION_SUFFIXES]
    yield from sorted(
        (path for path in found if path.is_file()), key=lambda path: path.relative_to(root).as_posix().encode()
    )


def _is_code(path: Path) -> bool:
    """Say whether a file below a package is part of it: a module, the marker of typed packages, a model, a licence."""
    kinds = (".py", ".typed", ".ftz", ".txt")
    return "__pycache__" not in path.parts and path.suffix in kinds


if __name__ == "__main__":
    sys.exit(main())

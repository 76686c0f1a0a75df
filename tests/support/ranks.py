"""Run a function on several gloo processes on this machine, and bring back what each returns.

They are forked off a server process that has imported torch and no more of ours: no rank pays for the import again, and
each finds our modules on the path of the test that asks.
"""

from __future__ import annotations

import os
import pickle
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

PRELOADED = (
    "numba",
    "pandas",
    "pyarrow.dataset",
    "pyarrow.parquet",
    "pydantic",
    "sentencepiece",
    "torch._dynamo",  # which the first step of an optimizer would import
    "torch.distributed.checkpoint.state_dict",
    "torch.distributed.fsdp",
    "torch.distributed.tensor.parallel",
    "typer",
    "yaml",
)
"""Libraries alone: the server imports before it knows the path on which ours lie."""


def on_ranks(size: int, work: Callable[..., Any], *arguments: Any) -> list[Any]:
    """What `work(*arguments)` returns on each rank; it may use torch.distributed.

    Args:
        size: how many processes.
        work: a function that can be pickled.
        arguments: for it.
    """
    import torch.multiprocessing as mp

    mp.set_forkserver_preload(list(PRELOADED))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        given = (size, port, folder, work, arguments)
        mp.start_processes(_one, given, nprocs=size, start_method="forkserver")  # type: ignore[no-untyped-call]
        return [pickle.loads((Path(folder) / str(rank)).read_bytes()) for rank in range(size)]


def _one(rank: int, size: int, port: int, folder: str, work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(size), "LOCAL_RANK": str(rank), "LOCAL_WORLD_SIZE": str(size)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    try:
        found = work(*arguments)
        (Path(folder) / str(rank)).write_bytes(pickle.dumps(found))
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()

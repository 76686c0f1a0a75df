"""Takes samples from one loader in a process of its own, and writes which they were.

    python -m benchmarks.loaders.take NAME CORPUS OUT.npz --count N [--state-in FILE] [--state-out FILE --state-after K]

OUT.npz gets the hashes and domains of the samples (`identity.Taken`). With `--state-out` the loader's state after
the first K samples is written as a pickle. Rank and world size come from RANK and WORLD_SIZE, as a launcher sets them;
the global batch is the same at any world size, and every rank takes its part of N.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.loaders.common import Peer
from benchmarks.loaders.identity import Places, Taken, take
from benchmarks.loaders.measuring import prepare, prepared_file, setup_for
from benchmarks.tools.library import library


def main() -> None:
    """Takes samples and writes their hashes and domains."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("name")
    parser.add_argument("corpus", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, required=True, help="samples, over all ranks")
    parser.add_argument("--run-length", type=int, default=16_000, help="samples of the whole run")
    parser.add_argument("--weights", type=json.loads, help="other weights than the corpus's, as JSON")
    parser.add_argument("--sequence-length", type=int, default=4096)
    parser.add_argument("--batch", type=int, default=8, help="global")
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--state-in", type=Path)
    parser.add_argument("--state-out", type=Path)
    parser.add_argument("--state-after", type=int, default=0)
    parser.add_argument("--scratch", type=Path, default=Path(tempfile.gettempdir()) / "tamis-loaders")
    options = parser.parse_args()
    rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    peer: Peer = library(f"benchmarks.loaders.{options.name}").PEER
    setup = setup_for(options.name, options.corpus, options.scratch, options.sequence_length, options.batch)
    if not prepared_file(setup).exists():
        prepare(peer, setup)
    setup = setup.with_changes(
        weights=options.weights or setup.weights,
        batch=options.batch // world,
        samples=options.run_length,
        rank=rank,
        world_size=world,
        workers=options.workers,
    )
    peer.load()
    library("torch").set_num_threads(1)
    state = pickle.loads(options.state_in.read_bytes()) if options.state_in else None
    loader = peer.open(setup, state)
    stream, places = iter(loader), Places.of(setup.corpus)
    first = take(stream, options.state_after // world, setup.sequence_length, places)
    if options.state_out:
        options.state_out.write_bytes(pickle.dumps(loader.state()))
    rest = take(stream, options.count // world - len(first.hashes), setup.sequence_length, places)
    taken = Taken(
        hashes=np.concatenate([first.hashes, rest.hashes]), domains=np.concatenate([first.domains, rest.domains])
    )
    np.savez(options.out, hashes=taken.hashes, domains=taken.domains)
    sys.stdout.flush()
    os._exit(0)  # some tools' threads and workers never end


if __name__ == "__main__":
    main()

"""How the tokenizers of installed packages compress some texts; run by `benchmarks.sampler.tokenizer_compression`.

    python -m benchmarks.peers.tokenizer_counts TEXTS.json OUT.json

TEXTS.json is group → texts. The interpreter needs the packages of the peers and what reads them, but none of Tamis'
dependencies.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from corpus.package_data import package_file
from sampler.tokenizer.compression import measure
from sampler.tokenizer.peers import PEERS, find_peers


def main() -> None:
    """Measures every peer that is installed on every group."""
    texts, out = Path(sys.argv[1]), Path(sys.argv[2])
    groups: dict[str, list[str]] = json.loads(texts.read_text("utf-8"))
    found, left_out = find_peers()
    rows = []
    for name, encoder in found.items():
        started = time.process_time()
        figures = {group: measure(members, encoder).to_json() for group, members in groups.items()}
        seconds = round(time.process_time() - started, 1)
        rows.append({"name": name, "vocabulary": encoder.vocab_size, "groups": figures, "cpu_seconds": seconds})
        print(f"{name}: {seconds} CPU-s", file=sys.stderr, flush=True)
    files = {
        peer.name: str(path)
        for peer in PEERS
        if (path := next((place for p in peer.places if (place := package_file(*p))), None)) is not None
    }
    out.write_text(json.dumps({"rows": rows, "left_out": left_out, "files": files}), "utf-8")


if __name__ == "__main__":
    main()

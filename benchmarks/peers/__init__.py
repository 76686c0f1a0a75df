"""Other dedup tools at the same work, one module each, measured by `benchmarks.dedup.dedup_peers`.

`python -m benchmarks.peers.NAME INPUT OUT.json LANG` reads INPUT/*.parquet (id, text), finds near-duplicates at a
similarity of 0.75 as the tool's own documentation does, and writes `{"dropped": {id: survivor or null}}`. The modules
import nothing of Tamis but `common` and `library`, and run in an environment that has the tool and pyarrow.
"""

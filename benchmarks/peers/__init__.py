"""Other tools at the same work, one module each, so that `benchmarks.dedup.dedup_peers` can measure them.

`python -m benchmarks.peers.NAME INPUT OUT.json LANG`: reads INPUT/*.parquet (id, text), finds near-duplicates at a
similarity of 0.75 as the tool's own documentation does it, and writes `{"dropped": {id: survivor or null}}`. The
modules import nothing of Tamis but `common`, and run in an environment that has the tool, pyarrow and nothing else.
"""

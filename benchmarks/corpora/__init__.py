"""Texts that the benchmarks measure on, and their planted truths."""

"""What the benchmarks share: the clock, the machine, repeats."""

"""What the benchmarks share: command line, CPU time, machine, runs of pipelines, tables."""

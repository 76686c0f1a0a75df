"""Spark: the session, tasks, the exchange, DataFrames, what executors need."""

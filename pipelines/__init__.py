"""The only room that knows Spark: session, stages, runner."""

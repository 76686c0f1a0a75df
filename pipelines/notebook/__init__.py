"""What `import tamis` offers beside the run folder: a pipeline run from Python, kernels over a list of texts."""

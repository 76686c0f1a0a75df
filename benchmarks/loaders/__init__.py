"""Other pretraining data loaders at the sampler's work, one module each.

`python -m benchmarks.loaders.NAME CORPUS OUT.json`: converts the corpus of `benchmarks.corpora.sampler_corpus` to
the tool's own format as its documentation does it, builds the mixture of four domains, and measures it from one process
to int64 CPU tensors (`measuring`). `python -m benchmarks.loaders.take NAME …` takes samples from the same loader
and says which they were (`identity`), for `benchmarks.sampler.loader_exactness`. But for `tamis_loader`, nothing
here imports Tamis, and all of it runs in an environment that has the tool, numpy and torch.
"""

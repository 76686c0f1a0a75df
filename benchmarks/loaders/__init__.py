"""Other pretraining data loaders at the work of our sampler, one module each.

`python -m benchmarks.loaders.NAME CORPUS OUT.json` converts the corpus of `benchmarks.corpora.sampler_corpus` to the
tool's own format as its documentation does, opens the mixture of four domains, and measures it (`measuring`) from one
process to int64 CPU tensors. `python -m benchmarks.loaders.take NAME …` takes samples from the same loader and finds
out which they were (`identity`), for `benchmarks.sampler.loader_exactness`. Only `tamis_loader` imports Tamis; the
other modules run in an environment that has the tool, numpy and torch.
"""

"""Pure kernels over Arrow text: scan, normalise, tokens, segment, shingle, hash."""

from corpus.cache import use_kernel_cache

use_kernel_cache()

"""Pure kernels over Arrow text: scan, normalise, tokens, segment, shingle, hash."""

from tamis.cache import use_kernel_cache

use_kernel_cache()

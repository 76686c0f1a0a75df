"""What repeats: exact copies, spans, near-duplicates, components, clusters, survivors."""

from corpus.cache import use_kernel_cache

use_kernel_cache()

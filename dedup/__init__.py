"""What repeats: exact copies, spans, near-duplicates, components, clusters, survivors."""

from tamis.cache import use_kernel_cache

use_kernel_cache()

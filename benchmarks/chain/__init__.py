"""The whole chain: speed, a standalone cluster, the funnel's picture."""

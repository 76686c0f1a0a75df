"""Commands about the parameters of near-duplicate search."""

"""Predictions from smaller or earlier runs: the scaling law, the runs it is fitted to, a band around a loss."""

"""Commands about models: train, evaluate, export, scaling laws, the page of a training."""

"""A run from its YAML to its published shards: configuration, runner, ledger, publishing."""

"""What every room needs and none owns: errors, caches, where the configuration lies."""

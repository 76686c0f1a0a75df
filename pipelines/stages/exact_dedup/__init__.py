"""One copy of each text: elected in its domain, settled over domains."""

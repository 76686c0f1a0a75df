"""spark-submit entry points, a few lines each; every file is named run_*.py, so that none hides a package."""

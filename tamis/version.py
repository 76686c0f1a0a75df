"""The version of Tamis, said here alone: `pyproject.toml`, `tamis --version`, the records of a run take it from here.

A plain string in a module of its own, so that setuptools reads it without importing anything, and a zip has it too.
"""

VERSION = "0.1.0"
RECORD = {"tamis_version": VERSION}
"""What every record of a run has among its facts: who wrote it. No hash and no key depends on it."""

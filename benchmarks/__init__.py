"""Measurements with committed numbers: run with `make bench`, never by the tests."""

"""The `tamis` command: run, inspect, explain, report, train."""

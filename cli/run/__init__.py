"""Commands that make something happen to a run: run, plan, estimate, demo."""

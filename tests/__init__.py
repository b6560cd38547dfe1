"""Experiments (`*_test.py`, run with `python -m tests.<name>_test`) and, in checks/, the checks of our own code."""

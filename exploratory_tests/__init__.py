"""Questions that are not settled yet, in the form of experiments: `python -m exploratory_tests.<name>_test`."""

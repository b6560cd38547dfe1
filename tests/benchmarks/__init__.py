"""How fast is it, beside what it has to keep up with? `python -m tests.benchmarks.NAME` measures and prints a table."""

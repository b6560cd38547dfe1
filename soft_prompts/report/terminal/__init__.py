"""`soft-prompts compare`: result files in, tables out."""

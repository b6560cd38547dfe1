"""`soft-prompts report`: result files in, a self-contained page out."""

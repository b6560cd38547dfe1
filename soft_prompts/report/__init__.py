"""What do all the results say, on one page? `soft-prompts report`: result files in, a self-contained page out."""

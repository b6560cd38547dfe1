"""What do stored results mean? Curves, scales, brackets, checks and the verdicts that follow. It never imports what
makes results: everything here is computed from result files alone."""

"""What does a run leave behind? The schema of a result, its files and paths, and what follows from its items alone. It
never imports what makes results, nor what reads them."""

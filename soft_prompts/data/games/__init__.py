"""Games of chess: PGN of any source, read ahead and parsed."""

"""How do losses fall with prompt tokens? Runs gathered into curves, with differences paired on the same items."""

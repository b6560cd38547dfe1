"""Which runs answer a question? One run, a grid, many runs, and the evidence beside them. It never imports commands or
calibration."""

"""What do numbers say? Numbers in, numbers out: shares, intervals, distances, agreement. It knows no file, no model and
no task, and imports nothing of this package."""

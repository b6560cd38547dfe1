"""What do numbers say? Numbers in, numbers out: scales, intervals, brackets, agreement. It knows no file, no model and
no task, and imports nothing of this package."""

"""Out-of-context guidance: data, questions, answers and the task."""

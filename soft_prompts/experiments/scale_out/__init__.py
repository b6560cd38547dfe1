"""How do the runs of a sweep file come to one machine or many, and what became of them? Their state lies in their own
files alone: whoever dies, the same command goes on from anywhere. It never imports ray or submitit before they are
asked for."""

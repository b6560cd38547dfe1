"""What does one batch cost, and what does the model write? Insertion, forward, loss, evaluation, generation, search. It
never imports settings, results' readers or the loop that trains."""

"""Where do texts, games and boards come from? Sources found, checked, split by hash and read from any position. It
never imports torch, a model or a task: its reader processes start in a fraction of a second."""

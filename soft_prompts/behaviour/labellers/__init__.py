"""Who says in words how two sets of texts differ? Phrases, a local model, or an endpoint."""

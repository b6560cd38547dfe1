"""The steering experiment: what vectors, prompts and patches can do in a model that learns functions in context."""

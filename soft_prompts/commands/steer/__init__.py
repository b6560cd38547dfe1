"""Vectors in the residual stream: `soft-prompts steer fit`, `eval`, `tokens` and `apply`."""

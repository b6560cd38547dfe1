"""How do the parts of a model become one module and its tokenizer? It imports nothing of the probes that look at it
afterwards."""

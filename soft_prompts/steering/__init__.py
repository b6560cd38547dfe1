"""What differs in the activations, what causes it, and can a vector do what a prompt does? It imports no report, no
experiment and no command.

`data`: choices of K classes. `vectors`: made, kept, exchanged. `effects`: what a vector does beside its controls.
`causes`: differences between prompts or models, and which of them matter. `concepts`: networks of related vectors.
"""

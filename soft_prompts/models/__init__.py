"""What is being measured? A frozen causal language model with its tokenizer and its fingerprint. It never imports a
task, a prompt or anything that trains."""

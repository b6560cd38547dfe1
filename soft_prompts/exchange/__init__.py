"""How does a trained prompt leave the house, and how does another's come in? The forms of PEFT, vLLM and plain
transformers. It trains nothing and measures nothing: no training, analysis or command is imported here."""

"""How does a trained prompt leave the house, and how does another's come in? The forms of PEFT, vLLM and plain
transformers. It trains and measures nothing, and never imports what does."""

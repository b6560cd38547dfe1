"""Ordinary text: the next token, a later one, one string, or raw text of a chat model, in windows of documents."""

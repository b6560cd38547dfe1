"""Boards with walls, and walks across them."""

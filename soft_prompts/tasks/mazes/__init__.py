"""Boards with walls: moves across them, given how good a path is asked for."""

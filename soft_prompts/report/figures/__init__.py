"""Curves as PNG files."""

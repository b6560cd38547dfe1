"""Figures of the page as SVG, drawn without a plotting library."""

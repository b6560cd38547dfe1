"""What is a loss held against? The makers of anchors, controls and rounded prompts."""

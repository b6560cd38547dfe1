"""What do stored results mean? Curves, anchors, controls and the distances that follow from them. It never imports
what makes results: everything here is computed from result files alone."""

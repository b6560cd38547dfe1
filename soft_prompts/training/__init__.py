"""How is one prompt fitted, resumed and recorded? The loop, exact resume, the record. It never imports the grid that
asks for many runs, nor anything that reads their results."""

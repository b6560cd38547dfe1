"""How is a comparison of behaviour shown? A section of the page, and a page of its own."""

"""How are results shown? Tables in a terminal, figures, and one page. It never imports what makes results, and never
loads a model."""

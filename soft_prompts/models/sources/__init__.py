"""What was asked for by name, and where are its parts? Every name of a model is read here, and nowhere else; it imports
nothing of what puts the parts together."""

"""What goes on inside the frozen model, by component, and what does it say when a component says something else?"""

"""What does a model know once its weights have learnt documents? The only code that trains weights. It never imports
experiments or reports."""

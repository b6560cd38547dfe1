"""What does a model know once its weights have learnt documents? Documents in, a model to freeze out. It never imports
experiments or reports."""

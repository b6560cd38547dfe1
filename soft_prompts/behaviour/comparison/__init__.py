"""What did an intervention change in a model? One verdict a part, each an excess over controls."""

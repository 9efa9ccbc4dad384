"""Ways to reach a model, one file per wire format."""

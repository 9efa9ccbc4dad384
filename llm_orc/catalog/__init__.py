"""What is known of models that others run."""

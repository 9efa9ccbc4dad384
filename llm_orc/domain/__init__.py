"""What things are: values, and pure functions over them."""

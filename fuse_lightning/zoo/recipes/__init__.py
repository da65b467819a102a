"""Training and evaluation of the zoo's models."""

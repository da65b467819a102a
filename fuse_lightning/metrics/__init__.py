"""Measures of prompts and of the gradients that find them."""

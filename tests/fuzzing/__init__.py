"""Broken inputs of every kind; a seed gives each of them again."""

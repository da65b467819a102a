"""Finds discrete text prompts for frozen models, with PyTorch Lightning."""

__version__ = "0.1.0"

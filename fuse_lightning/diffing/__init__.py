"""Differences of two models: tokens, texts and prompts that tell them apart."""

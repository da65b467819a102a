"""Benchmark of prompts that make a language model classify, and of their verdicts."""

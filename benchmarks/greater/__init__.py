"""Benchmark of reasoning prompts: speed, gradients, and searches with their verdicts."""

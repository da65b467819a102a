"""Helpers for all parts: files, terminal, signals, processes, identity."""

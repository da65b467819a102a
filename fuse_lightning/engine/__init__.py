"""Runs networks: batching, shared prefixes, key/value reuse, likelihoods, memory, devices."""

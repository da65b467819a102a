"""Small tools for every part: files, terminal, signals, processes, identity."""

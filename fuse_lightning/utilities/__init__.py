"""Small tools that every part uses: files, terminal, processes, identity."""

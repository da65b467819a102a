"""The ``fuse`` command."""

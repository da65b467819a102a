"""Disks that are full."""

import resource
from contextlib import contextmanager


@contextmanager
def at_most(size):
    """No file can grow beyond a size: writing ends in an error half way, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

"""``python -m fuse_lightning`` is the ``fuse`` command."""

from fuse_lightning.cli.main import main

if __name__ == "__main__":
    main()

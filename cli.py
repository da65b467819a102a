"""Runs the command line from a checkout; the installed command is ``fuse``."""

from fuse_lightning.cli.main import main

if __name__ == "__main__":
    main()

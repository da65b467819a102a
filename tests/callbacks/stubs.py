"""What callbacks ask of a trainer and of an optimizer, without a search."""

from types import SimpleNamespace

from fuse_lightning.data import Target
from fuse_lightning.errors import FuseError


def trainer(rank=0, ranks=1, folder="run", targets=None):
    data = targets and SimpleNamespace(
        targets=[Target(name, text=name) for name in targets],
        finished=set(),
        skipped={},
        check_digests=lambda known, what: None,
    )
    return SimpleNamespace(
        datamodule=data or None,
        strategy=SimpleNamespace(barrier=lambda: None, broadcast=lambda value: value),
        log_dir=folder,
        default_root_dir=".",
        global_rank=rank,
        world_size=ranks,
        is_global_zero=rank == 0,
        fast_dev_run=False,
    )


def search(*results, goes_on=False, overwrite=False, of="this search"):
    """What a writer asks of an optimizer."""

    def check(known, what, **options):
        if known != {"terms": of}:
            raise FuseError(f"{what} is of {known}")

    return SimpleNamespace(
        results=[*results],
        goes_on=goes_on,
        overwrite=overwrite,
        folder=None,
        origin=None,
        durable=0,
        identity=lambda **options: {"terms": of},
        check_identity=check,
    )

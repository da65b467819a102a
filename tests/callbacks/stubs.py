"""What callbacks ask of a trainer and of an optimizer, without a search."""

from types import SimpleNamespace

from fuse_lightning.data import Target, TextTargets
from fuse_lightning.errors import FuseError
from fuse_lightning.search import SearchModule


class Served(TextTargets):
    """Targets that have been set up."""

    def __init__(self, names):
        super().__init__("")
        self.targets = [Target(name, text=name) for name in names]

    def check_digests(self, known, what):
        pass


def trainer(rank=0, ranks=1, folder="run", targets=None):
    return SimpleNamespace(
        datamodule=Served(targets) if targets else None,
        strategy=SimpleNamespace(barrier=lambda: None, broadcast=lambda value: value),
        log_dir=folder,
        default_root_dir=".",
        global_rank=rank,
        world_size=ranks,
        is_global_zero=rank == 0,
        fast_dev_run=False,
    )


class Idle(SearchModule):
    """A search that does nothing but hold what callbacks look at."""

    def __init__(self, *results, of="this search", **attributes):
        super().__init__()
        self.results = [*results]
        self.of = of
        vars(self).update(attributes)

    def start_states(self, places):
        return [[] for _ in places]

    def propose(self, states):
        return states

    def score(self, proposed):
        return [[] for _ in proposed]

    def identity(self, **options):
        return {"terms": self.of}

    def check_identity(self, known, what, **options):
        if known != self.identity():
            raise FuseError(f"{what} is of {known}")


search = Idle

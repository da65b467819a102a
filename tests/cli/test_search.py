"""How a run of the command line ends beside the other processes of the run."""

import pytest
import torch.distributed as dist

from fuse_lightning.cli import search
from fuse_lightning.errors import FuseError


@pytest.mark.parametrize("error", [FuseError("bad"), SystemExit(143), KeyboardInterrupt()])
def test_a_run_that_fails_leaves_its_process_group(error, tmp_path, monkeypatch):
    def cli(*_, **options):
        dist.init_process_group(
            "gloo", init_method=f"file://{tmp_path / 'x'}", rank=0, world_size=1
        )
        raise error

    monkeypatch.setattr(search, "FuseCLI", cli)
    with pytest.raises(type(error)):
        search.run(["fit"])
    assert not dist.is_initialized()

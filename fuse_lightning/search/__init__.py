"""Search strategies: callbacks that own the frontier of every target."""

from fuse_lightning.search.beam import BeamSearch as BeamSearch
from fuse_lightning.search.beam import GreedySearch as GreedySearch
from fuse_lightning.search.frontier import Frontier as Frontier
from fuse_lightning.search.frontier import Scored as Scored
from fuse_lightning.search.frontier import distinct as distinct
from fuse_lightning.search.history import HistorySearch as HistorySearch
from fuse_lightning.search.uniform_cost import UniformCostSearch as UniformCostSearch

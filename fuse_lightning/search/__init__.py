"""Lifecycle of a search, and frontiers: callbacks that keep the states between steps."""

from fuse_lightning.search.beam import BeamSearch as BeamSearch
from fuse_lightning.search.beam import GreedySearch as GreedySearch
from fuse_lightning.search.frontier import AnyState as AnyState
from fuse_lightning.search.frontier import Frontier as Frontier
from fuse_lightning.search.frontier import Scored as Scored
from fuse_lightning.search.frontier import distinct as distinct
from fuse_lightning.search.history import HistorySearch as HistorySearch
from fuse_lightning.search.module import SearchModule as SearchModule
from fuse_lightning.search.module import search_of as search_of
from fuse_lightning.search.target_search import Best as Best
from fuse_lightning.search.target_search import TargetSearch as TargetSearch
from fuse_lightning.search.uniform_cost import UniformCostSearch as UniformCostSearch

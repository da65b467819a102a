"""The lifecycle of a search, and the frontiers: callbacks that say which states it goes on from."""

from fuse_lightning.search.beam import BeamSearch, GreedySearch
from fuse_lightning.search.frontier import AnyState, Frontier, Scored, distinct
from fuse_lightning.search.history import HistorySearch
from fuse_lightning.search.module import SearchModule, search_of
from fuse_lightning.search.target_search import Best, TargetSearch
from fuse_lightning.search.uniform_cost import UniformCostSearch

__all__ = [
    "AnyState",
    "BeamSearch",
    "Best",
    "Frontier",
    "GreedySearch",
    "HistorySearch",
    "Scored",
    "SearchModule",
    "TargetSearch",
    "UniformCostSearch",
    "distinct",
    "search_of",
]

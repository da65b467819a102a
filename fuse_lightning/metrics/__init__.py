"""Torchmetrics of prompts, each with direction and unit."""

from fuse_lightning.metrics.means import About as About
from fuse_lightning.metrics.means import Count as Count
from fuse_lightning.metrics.means import Mean as Mean
from fuse_lightning.metrics.means import MeanCost as MeanCost
from fuse_lightning.metrics.means import MeanLoss as MeanLoss
from fuse_lightning.metrics.means import MeanScore as MeanScore
from fuse_lightning.metrics.means import describe as describe
from fuse_lightning.metrics.text import Distinct as Distinct
from fuse_lightning.metrics.text import Perplexity as Perplexity
from fuse_lightning.metrics.text import Retrieval as Retrieval
from fuse_lightning.metrics.text import RougeL as RougeL
from fuse_lightning.metrics.text import words as words

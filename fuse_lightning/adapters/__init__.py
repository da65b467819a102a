"""FUSE adapters: gradients between models with different tokenizers."""

from fuse_lightning.adapters.alignment import AlignedWord, align
from fuse_lightning.adapters.fuse import FuseAdapter
from fuse_lightning.adapters.heads import HeadGradient
from fuse_lightning.adapters.settings import AdapterKind, AdapterSettings
from fuse_lightning.adapters.tproduct import t_pinv_product, t_product, t_transpose

__all__ = [
    "AdapterKind",
    "AdapterSettings",
    "AlignedWord",
    "FuseAdapter",
    "HeadGradient",
    "align",
    "t_pinv_product",
    "t_product",
    "t_transpose",
]

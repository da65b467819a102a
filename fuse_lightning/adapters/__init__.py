"""FUSE adapters: gradients between models with different tokenizers."""

from fuse_lightning.adapters.alignment import AlignedWord as AlignedWord
from fuse_lightning.adapters.alignment import align as align
from fuse_lightning.adapters.fuse import FuseAdapter as FuseAdapter
from fuse_lightning.adapters.heads import HeadGradient as HeadGradient
from fuse_lightning.adapters.settings import AdapterKind as AdapterKind
from fuse_lightning.adapters.settings import AdapterSettings as AdapterSettings
from fuse_lightning.adapters.tproduct import t_pinv_product as t_pinv_product
from fuse_lightning.adapters.tproduct import t_product as t_product
from fuse_lightning.adapters.tproduct import t_transpose as t_transpose

"""Contrastive decoding: several streams of frozen models write or read one text."""

from fuse_lightning.decoding.contrast import Contrast as Contrast
from fuse_lightning.decoding.decoder import ContrastiveDecoder as ContrastiveDecoder
from fuse_lightning.decoding.loop import ContrastiveLoop as ContrastiveLoop
from fuse_lightning.decoding.opening import StreamOptions as StreamOptions
from fuse_lightning.decoding.opening import open_streams as open_streams
from fuse_lightning.decoding.options import DecodingOptions as DecodingOptions
from fuse_lightning.decoding.processor import (
    ContrastiveLogitsProcessor as ContrastiveLogitsProcessor,
)
from fuse_lightning.decoding.readers import StreamNetwork as StreamNetwork
from fuse_lightning.decoding.scored_text import ScoredText as ScoredText
from fuse_lightning.decoding.scored_text import Tokens as Tokens
from fuse_lightning.decoding.stream import Stream as Stream

"""Options of every frozen model, and their types."""

from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict

from fuse_lightning.models.placement import DeviceMap, Quantization

DType = Literal["float32", "bfloat16", "float16"]

# The command line reads types at run time. It can only name models and tokenizers.
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Unpack as Unpack

    from torch import nn
    from transformers import PreTrainedTokenizerBase

    ModelSource: TypeAlias = str | Path | nn.Module
    PipelineSource: TypeAlias = str | Any
    TokenizerSource: TypeAlias = str | Path | PreTrainedTokenizerBase | None
    ProcessorSource: TypeAlias = str | Any | None
else:
    ModelSource = str
    PipelineSource = str
    TokenizerSource = str | None
    ProcessorSource = str | None


class ModelOptions(TypedDict, total=False):
    """Options of every :class:`FrozenModel` beside ``model_id``."""

    revision: str | None
    dtype: DType | None
    device: str | None
    trust_remote_code: bool
    device_map: DeviceMap | None
    quantization: Quantization | None
    compile: bool
    tokenizer: TokenizerSource


if not TYPE_CHECKING:
    # The command line then finds these options in FrozenModel, with their defaults and help.
    Unpack = {ModelOptions: Any}

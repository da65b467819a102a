"""PEFT adapters on disk or on the hub, with the base models that they were trained on."""

import json
from dataclasses import dataclass
from pickle import UnpicklingError
from typing import Any

from huggingface_hub.errors import LocalEntryNotFoundError
from safetensors import SafetensorError
from torch import nn
from transformers.utils import cached_file

from fuse_lightning.errors import FuseError
from fuse_lightning.models.gguf_files import split_gguf
from fuse_lightning.models.in_memory import check_adapter
from fuse_lightning.models.loading import find_file, first_line, resolve, unreadable
from fuse_lightning.utilities.regular import read_regular

SETTINGS = "adapter_config.json"
BROKEN = (SafetensorError, EOFError)


@dataclass(frozen=True)
class PeftAdapter:
    """PEFT adapter, and the model that it was trained on.

    Attributes:
        model_id: Folder or hub id of the adapter.
        revision: Branch, tag or commit of the adapter.
        base: Folder or hub id of the model that it was trained on.
        base_revision: Branch, tag or commit of that model.
        replaces: Names of parts whose weights it has whole, such as a head.
    """

    model_id: str
    revision: str | None
    base: str
    base_revision: str | None
    replaces: tuple[str, ...] = ()

    def attach(self, network: nn.Module) -> nn.Module:
        """Network of the base model with the adapter's layers, frozen and in eval mode.

        Raises:
            FuseError: If the adapter does not fit the network, or is of a kind that changes what a
                text begins with.
        """
        from peft import PeftConfig, PeftModel

        source = resolve(self.model_id)
        try:
            config = PeftConfig.from_pretrained(source, revision=self.revision)
            check_adapter(config, self.model_id)
            adapted = PeftModel(network, config, autocast_adapter_dtype=False)
            found = adapted.load_adapter(
                source, "default", revision=self.revision, autocast_adapter_dtype=False
            )
        except UnpicklingError as error:
            raise FuseError(
                f"the .bin weights of {self.model_id!r} hold more than tensors, which could run "
                "code; give an adapter with safetensors weights"
            ) from error
        except (*BROKEN, OSError, ValueError, KeyError, RuntimeError, TypeError) as error:
            raise FuseError(
                f"the adapter {self.model_id!r} cannot be put into {self.base!r}: "
                f"{first_line(error)}; give an adapter of this model"
            ) from error
        if found.missing_keys:
            raise FuseError(
                f"the adapter {self.model_id!r} lacks {len(found.missing_keys)} weights (such as "
                f"{min(found.missing_keys)}), which would be random; save it again"
            )
        base: nn.Module = adapted.get_base_model()
        return base.eval().requires_grad_(False)


def find_adapter(model_id: str, revision: str | None) -> PeftAdapter | None:
    """Adapter that an id names; ``None`` if it names a model or nothing.

    An adapter's folder or repository has an ``adapter_config.json`` and no ``config.json``.

    Raises:
        FuseError: If the adapter does not say what it was trained on, or the hub is out of reach.
    """
    if split_gguf(model_id) or _is_whole(model_id, revision):
        return None
    path = find_file(model_id, SETTINGS, revision)
    if path is None:
        return None
    try:
        settings: Any = json.loads(read_regular(path))
        base = settings["base_model_name_or_path"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise unreadable(model_id, error) from error
    if not isinstance(base, str) or not base:
        raise FuseError(
            f"the {SETTINGS} of {model_id!r} names no base model; set base_model_name_or_path"
        )
    replaces = tuple(map(str, settings.get("modules_to_save") or ()))
    return PeftAdapter(model_id, revision, base, settings.get("revision"), replaces)


def _is_whole(model_id: str, revision: str | None) -> bool:
    """Whether a folder or repository holds the configuration of a model.

    Raises:
        FuseError: If the hub is out of reach, and nothing of the model lies on the disk.
    """
    try:
        return cached_file(resolve(model_id), "config.json", revision=revision) is not None
    except (OSError, ValueError) as error:
        out_of_reach = isinstance(error.__cause__, LocalEntryNotFoundError)
        # Each further question would wait for the hub anew.
        if out_of_reach and not find_file(model_id, SETTINGS, revision, on_disk=True):
            raise unreadable(model_id, error) from error
        # What is wrong with the id itself is told where the model is read.
        return False


def has_tokenizer(model_id: str, revision: str | None) -> bool:
    """Whether a tokenizer was saved with an adapter."""
    return find_file(model_id, "tokenizer_config.json", revision) is not None

"""Words about the network for messages about what the hub did not give."""

from huggingface_hub import is_offline_mode


def network() -> str:
    """The network as a thing to check, and the variable that decides whether it is asked."""
    if is_offline_mode():
        return "the network (HF_HUB_OFFLINE is set, so that it was not asked)"
    return "the network (without one, HF_HUB_OFFLINE=1 saves the waiting)"

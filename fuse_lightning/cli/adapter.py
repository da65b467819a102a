"""``fuse adapter``: measures of the adapters between tokenizers."""

from collections.abc import Sequence
from pathlib import Path

from fuse_lightning.cli.tools import run_tool
from fuse_lightning.errors import FuseError
from fuse_lightning.evaluation.adapter_fidelity import fidelity
from fuse_lightning.models.auto import auto_model
from fuse_lightning.utilities.regular import read_text


def command(words: Sequence[str]) -> None:
    """Runs the command."""
    run_tool({"evaluate": evaluate}, words[0], words[1:])


def evaluate(
    source: str,
    target: str,
    texts: Path,
    positions: int = 40,
    tokens: int = 400,
    seed: int = 0,
) -> None:
    """Prints how well gradients through an adapter predict the losses of token swaps.

    Args:
        source: Id of the model whose tokens are replaced.
        target: Id of the model whose loss is predicted.
        texts: File with a text a line.
        positions: Positions measured, one a text.
        tokens: Tokens tried at each.
        seed: Seed.
    """
    try:
        lines = [line.strip() for line in read_text(texts).splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise FuseError(
            f"--texts {str(texts)!r} cannot be read ({error}); give a text file"
        ) from error
    lines = list(dict.fromkeys(line for line in lines if line))
    rows = fidelity(auto_model(source), auto_model(target), lines, positions, tokens, seed)
    width = max(len(str(recipe)) for recipe in rows)
    print(f"{'gradient':{width}}    rho  recall")
    for recipe, (rho, recall) in rows.items():
        print(f"{recipe!s:{width}}  {rho:5.2f}   {recall:5.2f}")

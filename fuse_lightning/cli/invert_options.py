"""Options of ``fuse invert``."""

import argparse
from typing import NoReturn

from fuse_lightning.errors import FuseError

EPILOG = """examples:
  fuse invert picture.png
  fuse invert photos/ --writer openai-community/gpt2-medium --clip openai/clip-vit-base-patch32
  fuse invert --text 'a long text' --models hub --encoder sentence-transformers/all-MiniLM-L6-v2
  fuse invert photos/ --models hub --sidecar --top 1 --json > prompts.jsonl

The package's own models (zoo) know drawn scenes only; for photographs name others. A model is a
hub id, a folder, or for --writer also a GGUF file. Exit codes: 0; 1 if a picture was left out; 2
on bad input; 130, 143 after Ctrl-C, SIGTERM, with what was found printed; 141 if nobody reads on.
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise FuseError(f"{message}; see fuse invert --help")


def parser() -> argparse.ArgumentParser:
    """Parser of the command's options."""
    words = _Parser(
        prog="fuse invert",
        description="Prints prompts of pictures or of texts, best first, with their losses.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    words.add_argument(
        "images",
        nargs="*",
        metavar="IMAGE",
        help="picture, address, folder, glob pattern, table, hub:USER/NAME; zoo/scenes for four "
        "examples",
    )
    words.add_argument(
        "--text",
        help="text whose meaning the prompts are to have, or a .txt file with a text a line; with "
        "pictures, beside theirs",
    )
    words.add_argument(
        "--preset",
        choices=("caption", "clip", "style", "sentiment"),
        default="caption",
        help="caption (default): fluent captions; clip: the tokens that CLIP likes best; style: "
        "those for all pictures together; sentiment: captions with a mood",
    )
    _add_models(words)
    words.add_argument(
        "--sentiment", default="positive", help="label for --preset sentiment (default: positive)"
    )
    words.add_argument(
        "--top", type=int, default=5, help="prompts printed of each target (default: 5)"
    )
    words.add_argument(
        "--steps",
        type=int,
        help="most steps of each search (default: zoo 28, hub 16; preset clip or style: 100, 300)",
    )
    words.add_argument("--seed", type=int, default=0, help="seed (default: 0)")
    words.add_argument(
        "--join",
        action="store_true",
        help="at the end also the best prompts of all targets joined into one, scored for each",
    )
    words.add_argument(
        "--sidecar",
        action="store_true",
        help="write the best prompt of each picture beside it, as NAME.txt; a file that is there "
        "stays",
    )
    words.add_argument("--force", action="store_true", help="let --sidecar replace files")
    words.add_argument(
        "--json", action="store_true", help="one JSON object a prompt (docs/results.md)"
    )
    return words


def _add_models(words: argparse.ArgumentParser) -> None:
    words.add_argument("--writer", metavar="MODEL", help="language model of the captions")
    words.add_argument("--clip", metavar="MODEL", help="CLIP or SigLIP that sees the pictures")
    words.add_argument(
        "--encoder",
        metavar="MODEL",
        help="sentence encoder or CLIP that reads the texts (default: the CLIP)",
    )
    words.add_argument("--classifier", metavar="MODEL", help="model for --preset sentiment")
    words.add_argument(
        "--models",
        choices=("zoo", "hub"),
        help="where the other models come from: zoo, in the package; hub, GPT-2 medium, CLIP "
        "ViT-B/32 and a RoBERTa (default: zoo, or hub once a named model is none of the zoo)",
    )
    words.add_argument(
        "--weight",
        action="append",
        default=[],
        type=weight,
        metavar="TERM=VALUE",
        help="weight of fluency (default: 1), image_similarity or text_similarity (zoo 6, hub 22; "
        "preset clip or style: 1), sentiment (zoo 0.4, hub 1); can be repeated",
    )


def weight(text: str) -> tuple[str, float]:
    """Name of a term and its weight.

    >>> weight("image_similarity=8")
    ('image_similarity', 8.0)
    """
    name, equals, value = text.partition("=")
    try:
        number = float(value)
    except ValueError:
        equals = ""
    if not (equals and name):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no weight; give a term's name and a number, such as image_similarity=8"
        )
    return name.strip(), number

"""Sections of the help page of ``fuse diff``."""

from fuse_lightning.cli.help import EVERY, usage
from fuse_lightning.cli.sections import LOADING, STREAM, Section

EXAMPLES = "\n".join(usage("diff"))
INTRODUCTION = f"""usage: fuse diff A B [--prompts TEXT|FILE] [--texts FILE]
                     [more options] [--config FILE]
       fuse diff --answers FILE.csv
       fuse diff --resume DIR

What changed between two language models, as one page. Both models write behind the same prompts
and read each other's texts. The findings are topics, words, tokens and prompts that tell the
models apart. A and B are a hub id, a local folder, a GGUF file, a PEFT adapter or zoo/NAME.

examples:
{EXAMPLES}
"""
SECTIONS = (
    Section(
        "what each model reads (--b.prefix and so on for B)",
        STREAM,
        rare=("a.layers", "a.temperature", "a.towards", "a.amount"),
    ),
    Section(
        "prompts and texts",
        {
            "prompts": "TEXT|FILE",
            "column": "NAME",
            "split": "NAME",
            "limit": "N",
            "texts": "FILE",
            "answers": "FILE",
        },
    ),
    Section(
        "how texts are written",
        {
            "samples": "N",
            "max_new_tokens": "N",
            "temperature": "NUMBER",
            "amount": "NUMBER",
            "seed": "N",
            "batch_size": "N",
        },
    ),
    Section(
        "what is looked for, and where it is kept",
        {"search": "N", "alpha": "SHARE", "out": "DIR", "json": "", "overwrite": ""},
        others={"--resume DIR": "Go on with an interrupted run."},
    ),
    LOADING,
    Section(
        "options from a file, and help",
        {"config": "FILE", "print_config": "", "help": ""},
        others={EVERY: "All options, each with all that is known of it."},
    ),
)

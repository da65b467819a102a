"""Sections of the help page of ``fuse decode``: examples first, then options by purpose."""

from fuse_lightning.cli.help import EVERY
from fuse_lightning.cli.sections import LOADING, STREAM, Section

INTRODUCTION = """usage: fuse decode --a ID [--b ID] [--c ID] [--d ID]
                   --weights 2,-1 | --preset NAME
                   --prompts TEXT|FILE ... | --score FILE
                   [more options] [--config FILE]
       fuse decode --resume DIR

Two to four language models write or read one text together. A model with the text that it
reads around a prompt is a stream: A, B, C, D. The log-probabilities of the streams are added
with the weights. How far A and B are apart is recorded at every token.

examples:
  fuse decode --a zoo/mood-plain --b zoo/gpt2 --weights 2,-1 --prompts "a picture of"
                                  write what A likes better than B
  fuse decode --a zoo/mood-plain --b zoo/gpt2 --score texts.csv
                                  read given texts: where do the two models part?
  fuse decode --a zoo/gpt2 --a.prefix "a lovely " --preset guidance --scale 1.5 \\
      --prompts "picture of"      one model, with a prefix and without it
  fuse decode --a zoo/mood-faint --b zoo/gpt2 --preset amplification --sweep 0,1,2,4 \\
      --prompts "" --samples 100 --property.pattern "lovely|happy"
                                  how often does something happen, by amount?
"""
SECTIONS = (
    Section(
        "what each stream is and reads (--b.prefix, --c.prefix and so on for the others)",
        STREAM,
        rare=("a.layers", "a.temperature", "a.towards", "a.amount"),
    ),
    Section(
        "prompts, or texts to read",
        {
            "prompts": "TEXT|FILE",
            "column": "NAME",
            "split": "NAME",
            "limit": "N",
            "score": "FILE",
            "prompt_tokens": "N",
        },
        rare=("split", "prompt_tokens"),
    ),
    Section(
        "how the streams are joined",
        {
            "weights": "2,-1",
            "preset": "NAME",
            "amount": "NUMBER",
            "beta": "NUMBER",
            "scale": "NUMBER",
            "mode": "weighted|residual",
            "least": "SHARE",
        },
        rare=("mode", "least"),
    ),
    Section(
        "mask: which tokens may be written",
        {
            "alpha": "SHARE",
            "mask_top_p": "SHARE",
            "mask_top_k": "N",
            "mask_keep": "N",
            "mask_from": "STREAM",
        },
        rare=("mask_keep", "mask_from"),
    ),
    Section(
        "gate: one stream writes alone where two agree",
        {
            "gate": "cosine|tv|js",
            "gate_at": "NUMBER",
            "gate_between": "A,B",
            "fallback": "STREAM",
        },
        rare=("gate_at", "gate_between", "fallback"),
    ),
    Section(
        "how texts are written",
        {
            "samples": "N",
            "max_new_tokens": "N",
            "temperature": "NUMBER",
            "top_k": "N",
            "top_p": "SHARE",
            "beams": "N",
            "stop": "TEXT",
            "seed": "N",
            "batch_size": "N",
        },
        rare=("top_p", "beams"),
    ),
    Section(
        "what is recorded and printed",
        {
            "out": "DIR",
            "print": "N",
            "sort": "NAME",
            "json": "",
            "stream": "",
            "compare": "A,B",
            "top": "N",
        },
        rare=("compare", "top"),
        others={
            "--overwrite": "Replace what an earlier run left in the folder.",
            "--resume DIR": "Go on with an interrupted run.",
        },
    ),
    Section(
        "a sweep: how often a text has a property, by amount",
        {
            "sweep": "0,1,2",
            "at": "NUMBER",
            "property.pattern": "REGEX",
            "property.ignore_case": "",
            "property.classifier": "ID",
            "property.label": "NAME",
            "property.judge": "ID",
            "property.question": "TEXT",
            "property.threshold": "SHARE",
        },
        rare=(
            "at",
            "property.judge",
            "property.ignore_case",
            "property.label",
            "property.question",
            "property.threshold",
        ),
    ),
    LOADING,
    Section(
        "options from a file, and help",
        {"config": "FILE", "print_config": "", "help": ""},
        others={EVERY: "All options, each with all that is known of it."},
    ),
)

"""What a model has written for questions before, without writing anything."""

from __future__ import annotations

from collections.abc import Sequence

from fuse_lightning.objectives.chained import Chained
from fuse_lightning.objectives.prompts import Prompts
from fuse_lightning.objectives.written import Written


def recalled(
    term: Chained, prompts: Prompts, examples: Sequence[Sequence[int]]
) -> list[Written | None]:
    """Remembered chains and answers, the first of each question, prompt by prompt.

    No network runs, so that ``right_labels`` and ``probability`` are not told.

    Args:
        term: Loaded term with targets.
        prompts: N prompts.
        examples: Numbers of the questions of each.

    Returns:
        For each prompt and question what was written, or ``None`` where nothing is remembered.
    """
    heads = term.heads(prompts, examples)
    pairs = zip(heads.owner.tolist(), heads.example.tolist(), term.known(heads), strict=True)
    return [
        Written.of(term.model, term.batch[owner], example, chains[0]) if chains else None
        for owner, example, chains in pairs
    ]

"""Questions of a table as ids, for the tokenizer of a chat model."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from benchmarks.greater.plain import Ids, Setting
from benchmarks.greater.tables import Question

EXTRACTOR = "\nTherefore, the final answer is:"
PLACE = "\x00"


def ids_of(tokenizer: Any, text: str) -> Ids:
    """Ids of a piece of text, without what the tokenizer puts around whole texts."""
    return tuple(tokenizer(text, add_special_tokens=False).input_ids)


def turns(tokenizer: Any, question: str) -> tuple[str, str]:
    """Texts of a chat before and behind a prompt that follows the question in the user's turn."""
    message = {"role": "user", "content": f"{question}{PLACE}"}
    text = tokenizer.apply_chat_template([message], tokenize=False, add_generation_prompt=True)
    head, _, tail = text.partition(PLACE)
    return head, tail


def allowed_tokens(tokenizer: Any, size: int) -> Tensor:
    """Whether each id may stand in a prompt: ASCII letters and spaces, or one of ``. ,``.

    Args:
        tokenizer: The tokenizer.
        size: Rows of the model's output.

    Returns:
        Shape ``(size,)``.
    """
    special = {*tokenizer.all_special_ids}
    found = torch.zeros(size, dtype=torch.bool)
    texts = tokenizer.batch_decode([[index] for index in range(min(size, len(tokenizer)))])
    for index, text in enumerate(texts):
        letters = text.replace(" ", "")
        plain = letters.isascii() and letters.isalpha()
        found[index] = index not in special and (plain or text in {".", ",", " "})
    return found


def as_setting(
    tokenizer: Any, questions: Sequence[Question], size: int, stop: Sequence[int], **sizes: Any
) -> Setting:
    """Questions of a table in a chat: the question, the prompt, the chain, the answer.

    Args:
        tokenizer: One with a chat template.
        questions: The questions.
        size: Rows of the model's output.
        stop: Ids that end a chain.
        **sizes: Fields of the setting, such as ``batch``.
    """
    heads = [turns(tokenizer, each.question) for each in questions]
    return Setting(
        before=[ids_of(tokenizer, head) for head, _ in heads],
        answers=[ids_of(tokenizer, f" {each.answer}") for each in questions],
        between=ids_of(tokenizer, heads[0][1]),
        extractor=ids_of(tokenizer, EXTRACTOR),
        allowed=allowed_tokens(tokenizer, size),
        stop=frozenset(stop),
        pad=stop[0],
        **sizes,
    )

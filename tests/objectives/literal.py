"""Texts as a user would write them, read by plain transformers in float64."""

from copy import deepcopy

import torch


def written(marks, *parts):
    """Texts joined by a space where neither has white space or a special token there."""
    whole = ""
    for part in parts:
        bare = whole and part and not (whole[-1].isspace() or part[0].isspace())
        bare = bare and not any(whole.endswith(mark) or part.startswith(mark) for mark in marks)
        whole += " " * bool(bare) + part
    return whole


class Plain:
    """A model of an objective, in float64, eager and without padding.

    Args:
        model: The model that the objective has loaded.
    """

    def __init__(self, model):
        self.tokenizer = model.tokenizer
        self.module = deepcopy(model.module).double()
        self.module.set_attn_implementation("eager")
        self.start = list(model.start_ids)
        self.marks = model.tokenizer.all_special_tokens

    def ids(self, text):
        found = self.tokenizer(text, add_special_tokens=False).input_ids
        return found if found[: len(self.start)] == self.start else [*self.start, *found]

    def nll(self, text):
        """-log P of each token but the first, behind the start."""
        ids = torch.tensor([self.ids(text)])
        with torch.no_grad():
            log_probs = self.module(input_ids=ids).logits[0].log_softmax(-1)
        return -log_probs[:-1].gather(1, ids[0, 1:, None]).squeeze(1)

    def mean_nll(self, before, part, behind=""):
        """Mean over the tokens of a part of a text; the space before it is the part's.

        ``None`` where the part has no tokens of its own.
        """
        head = before.rstrip(" ") if part else before
        first, end, whole = (
            self.ids(text) for text in (head, before + part, before + part + behind)
        )
        if whole[: len(first)] != first or whole[: len(end)] != end:
            return None
        return float(self.nll(before + part)[len(first) - 1 :].mean())

    def fluency(self, prefix, prompt, suffix=""):
        before = written(self.marks, prefix, prompt).removesuffix(prompt)
        whole = written(self.marks, prefix, prompt, suffix)
        return self.mean_nll(before, prompt, whole[len(before + prompt) :])

    def continuation(self, prefix, prompt, suffix, label):
        whole = written(self.marks, prefix, prompt, suffix, label)
        return self.mean_nll(whole.removesuffix(label), label)

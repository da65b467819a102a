"""A term: a number for each prompt. This one is the loss of a model that names moods."""

from torch.nn import functional as F

from fuse_lightning.objectives import CausalTerm

EXAMPLES = [("a lovely red circle", 0), ("an ugly green box", 1), ("two fine blue stars", 0)]
WORDS = ("happy", "sad")


class Mood(CausalTerm):
    """Cross-entropy of the right word behind each example (nats, lower is better)."""

    splits = True  # the model splits rows into batches itself
    fills = ("text", "answer")  # fields of the layout beside the prompt

    def __init__(self, model: str = "zoo/gpt2", weight: float = 1.0) -> None:
        super().__init__(model, weight, layout="{text}\n{prompt}\nThe mood is{answer}")

    def set_targets(self, targets):
        """Every target has these examples; yours may hold its own in ``target.examples``."""
        self.examples = [len(EXAMPLES) for _ in targets]

    def contents(self, owner, example):
        """Texts of the fields, for each row of one example: here one row for each word."""
        return [{"text": EXAMPLES[example][0], "answer": f" {word}"} for word in WORDS]

    def loss(self, reading, embeds=None):
        """-log P(answer | all before) of each row, shape (R,)."""
        ids, answer = reading.rows.ids, reading.wanted
        nll = self.model.token_nll(ids, answer, embeds, reading.fixed, alike=reading.alike)
        return nll.sum(1)

    def reduce(self, losses, reading, count):
        """One number for each pair of a prompt and an example, from its two rows."""
        right = [EXAMPLES[example][1] for _, example in reading.pairs.tolist()]
        log_probs = (-reading.table(losses)).log_softmax(1)
        return F.nll_loss(log_probs, losses.new_tensor(right).long(), reduction="none")

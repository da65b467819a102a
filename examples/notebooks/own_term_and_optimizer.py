# %% [markdown]
# # A term and an optimizer of your own
#
# A *term* is a loss of a text. An *optimizer* proposes texts. Each is one class. The package does
# the rest: batches, memory, limits, result files, checkpoints, devices.

# %%
import lightning as L
import torch

from fuse_lightning import CausalTerm, Fluency, PromptOptimizer, Target, TargetDataModule

# %% [markdown]
# ## A term
#
# This term wants a prompt behind which the language model says "star". Its layout is the whole
# text that the model reads, with the fields `{prompt}` and `{answer}`. `contents` fills the
# answer. `loss` gives one number for each text: the mean negative log-likelihood of the answer's
# tokens, in nats. Lower is better.


# %%
class Says(CausalTerm):
    """Negative log-likelihood of a word behind the prompt, in nats."""

    splits = True
    fills = ("answer",)

    def __init__(self, word: str, model: str = "zoo/gpt2", weight: float = 1.0) -> None:
        super().__init__(model, weight, layout="{prompt}{answer}")
        self.word = word

    def set_targets(self, targets):
        self.examples = [1 for _ in targets]

    def contents(self, owner, example):
        return [{"answer": f" {self.word}"}]

    def loss(self, reading, embeds=None):
        ids, answer = reading.rows.ids, reading.wanted
        nll = self.model.token_nll(ids, answer, embeds, reading.fixed, alike=reading.alike)
        return nll.sum(1) / answer.sum(1)


# %% [markdown]
# ## An optimizer
#
# `propose` gets the prompts to go on from, a list for each target. It returns candidates. A
# prompt is a tuple of token ids. `draw` takes allowed tokens from the target's own stream of
# random numbers. So a run can be repeated and resumed.


# %%
class Wanderer(PromptOptimizer):
    """Replaces one random token by a random one."""

    def __init__(self, terms, tries: int = 64, steps: int = 40, prompt_length: int = 4) -> None:
        super().__init__(terms, steps=steps, prompt_length=prompt_length)
        self.tries = tries

    def propose(self, states):
        return [
            [candidate for old in found for candidate in self.edits(target, old)]
            for target, found in enumerate(states)
        ]

    def edits(self, target, old):
        generator = self.searches[target].generator
        places = torch.randint(len(old), (self.tries,), generator=generator).tolist()
        tokens = self.draw(target, self.tries)
        swaps = zip(places, tokens, strict=True)
        return [old, *((*old[:n], token, *old[n + 1 :]) for n, token in swaps)]


# %% [markdown]
# ## The search
#
# The objective adds `Fluency` with a small weight, so that the prompt stays readable. A target
# without picture or text is enough here: the term knows what it wants.


# %%
class One(TargetDataModule):
    """A single target."""

    def all_targets(self):
        return [Target("star")]


search = Wanderer([Says("star"), Fluency("zoo/gpt2", weight=0.2)], steps=40)
trainer = L.Trainer(max_epochs=1, accelerator="cpu", devices=1, enable_model_summary=False)
trainer.fit(search, One())

# %%
best = search.results[0]
print(best.prompt, best.losses)

# %% [markdown]
# The file `my_classes.py` could hold both classes. Then `class_path: my_classes.Wanderer` works
# in YAML. [Add your own](../../docs/add_your_own.md) goes on from here.

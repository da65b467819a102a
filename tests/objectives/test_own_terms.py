"""Mistakes in terms of one's own are one line, and never a wrong number."""

import pytest
import torch

from fuse_lightning import FuseError
from fuse_lightning.data import Target
from fuse_lightning.objectives import CausalTerm, Fluency, Objective, Term, embedding_gradient
from tests.near import assert_near


class Rows(CausalTerm):
    """The sum over the answer's tokens, of two rows a prompt."""

    splits = True
    fills = ("text", "answer")

    def set_targets(self, targets):
        self.examples = [1 for _ in targets]

    def contents(self, owner, example):
        return [{"text": "red", "answer": f" {word}"} for word in ("sea", "night")]

    def loss(self, reading, embeds=None):
        nll = self.model.token_nll(reading.rows.ids, reading.wanted, embeds, reading.fixed)
        return nll.sum(1)


LAYOUT = "{text} {prompt}{answer}"


def asked(kind, folder, texts=("two red", "house"), call=None):
    objective = Objective([kind(str(folder), layout=LAYOUT)])
    objective.load()
    objective.set_targets([Target("one")])
    prompts = objective.prompts(objective.encode_prompts(texts), [0] * len(texts))
    return objective.losses(prompts) if call is None else call(objective, prompts)


def changed(**methods):
    return type("Mine", (Rows,), methods)


def rows(*fields):
    return lambda self, owner, example: list(fields)


@pytest.mark.parametrize(
    ("methods", "message"),
    [
        ({"loss": lambda *_: torch.tensor(1.0)}, r"shape \(\) for \d+ rows.*one for each row"),
        ({"loss": lambda *_: torch.ones(1)}, r"shape \(1,\) for \d+ rows"),
        ({"loss": lambda *_: 1.0}, "Mine gives float for its rows"),
        ({"loss": lambda s, r, e=None: torch.ones(len(r)).long()}, "gives torch.int64"),
        ({"reduce": lambda s, v, r, c: v.sum()}, r"reduce of Mine gives shape \(\)"),
        ({"reduce": lambda s, v, r, c: v}, r"reduce of Mine gives shape \(4,\).*shape \(2,\)"),
        ({"contents": rows()}, "at least one row"),
        ({"contents": lambda *_: {"text": "a", "answer": "b"}}, "give a list of at least one row"),
        ({"contents": rows({"text": "a"})}, "gives no 'answer'; its fields are: answer, text"),
        ({"contents": rows({"text": "a", "answer": "b", "txt": ""})}, "gives 'txt'; its fields"),
        ({"contents": rows({"text": 3, "answer": "b"})}, "gives 3 as 'text'; give a text"),
        ({"set_targets": lambda s, t: setattr(s, "examples", 2)}, "examples of mine is 2"),
        (
            {"set_targets": lambda s, t: setattr(s, "examples", [0])},
            "target 'one' has no example, which mine needs",
        ),
        ({"set_targets": lambda s, t: setattr(s, "examples", [1, 1])}, "how many examples each"),
    ],
)
def test_a_mistake_is_named(causal_folders, methods, message):
    with pytest.raises(FuseError, match=message):
        asked(changed(**methods), causal_folders["tiny"])


def test_a_gradient_checks_shapes_too(causal_folders):
    def loss(self, reading, embeds=None):
        return Rows.loss(self, reading, embeds).sum()

    with pytest.raises(FuseError, match="one for each row"):
        asked(changed(loss=loss), causal_folders["tiny"], call=embedding_gradient)


def test_what_is_no_term_is_named():
    with pytest.raises(FuseError, match=r"terms hold \{'class_path'.*annotate.*list\[Term\]"):
        Objective([{"class_path": "Fluency"}])


def test_a_term_that_names_no_kind_of_model_says_so():
    class Bare(Term):
        def loss(self, reading, embeds=None):
            return torch.zeros(len(reading))

    with pytest.raises(FuseError, match="Bare does not say what kind of model 'zoo/gpt2' is"):
        Bare("zoo/gpt2")


def test_a_table_holds_the_rows_of_every_model(tmp_path):
    from tests.factories import tiny

    class Both(Rows):
        readers = (0, 1)

        def __init__(self, model, other, **options):
            super().__init__(model, **options)
            self.other = Fluency(other).model

        def loss(self, reading, embeds=None):
            model = self.models[int(reading.reader[0])]
            return model.token_nll(reading.rows.ids, reading.wanted, embeds).sum(1)

        def reduce(self, losses, reading, count):
            table = reading.table(losses)
            assert table.shape == (count, 4)
            return table[:, 2:].sum(1) - table[:, :2].sum(1)

    folders = [str(tiny.gpt2(tmp_path / name, seed=seed)) for seed, name in enumerate("ab")]
    objective = Objective([Both(*folders, layout=LAYOUT)])
    objective.load()
    objective.set_targets([Target("one")])
    prompts = objective.prompts(objective.encode_prompts(["two red", "house"]), [0, 0])
    found = objective.losses(prompts)[:, 0]
    means = [asked(Rows, folder)[:, 0] for folder in folders]
    assert_near(found, 2 * (means[1] - means[0]))

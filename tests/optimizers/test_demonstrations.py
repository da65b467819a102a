"""Searches for demonstrations against all prompts of a tiny pool, and what holds for every one."""

from collections import Counter
from itertools import permutations

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from fuse_lightning.data import Target
from fuse_lightning.errors import FuseError
from fuse_lightning.models import Seq2SeqLM
from fuse_lightning.objectives import Classification, Fluency, Seq2SeqClassification
from fuse_lightning.objectives.example_scores import ExampleScores
from fuse_lightning.optimizers import Constraints, Demonstrations
from fuse_lightning.optimizers.demonstration_pool import divided
from fuse_lightning.search import GreedySearch
from tests.factories.builders import BUILDERS
from tests.near import DOUBLE, near
from tests.optimizers.families import STRATEGIES
from tests.optimizers.runs import close, fit, found
from tests.optimizers.shown_examples import LAYOUT, WORDS, Given, plain_loss, search, shown, target


def parts(one, size, seed=0):
    """Numbers of the train examples that may be shown, and of the others."""
    return divided([example["label"] for example in one.examples], size, seed, one.id)


class Watched(Demonstrations):
    """Also notes every proposal, with what it is made of."""

    def propose(self, states):
        proposed = super().propose(states)
        self.noted = getattr(self, "noted", [])
        for place, group in enumerate(proposed):
            made = self.searches[place].own["made"]
            self.noted.append((self.targets[place].id, states[place], group, dict(made)))
        return proposed


def watched(**options):
    given = {"count": 2, "steps": 6, "batch_size": 8}
    return Watched([Classification("zoo/gpt2", LAYOUT)], **{**given, **options})


@pytest.mark.parametrize("instructions", [None, ["", "two stars:"]])
@pytest.mark.parametrize("select", [0, 3])
def test_the_best_of_all_ordered_pairs_is_found(tmp_path, double, instructions, select):
    one = target(6, select)
    module = search(steps=10, instructions=instructions, seed=2)
    fit(module, Given(one), tmp_path, GreedySearch())
    pool, scored = parts(one, 3, seed=2)
    asked = [*one.select] or [one.examples[number] for number in scored]
    model = module.objective.primary
    losses = {}
    for begin in instructions or [""]:
        for pair in permutations(pool, 2):
            text = "\n".join(filter(None, [begin, *(shown(one.examples[n]) for n in pair)]))
            losses[text] = plain_loss(model, text, asked)
    (row,) = module.results
    if not select:
        # Where other examples choose, only the best of each step meet them.
        assert row.prompt == min(losses, key=losses.__getitem__)
    assert row.loss == near(losses[row.prompt], size=1, share=DOUBLE)
    pairs = [text.split("\n") for text in losses]
    turned = ["\n".join([*lines[:-2], lines[-1], lines[-2]]) for lines in pairs]
    assert all(losses[a] != losses[b] for a, b in zip(losses, turned, strict=True))


@pytest.mark.parametrize("size", [None, 2])
@pytest.mark.parametrize("select", [0, 4])
def test_no_example_is_both_shown_and_scored(tmp_path, monkeypatch, size, select):
    read, whole = Counter(), ExampleScores._read

    def counted(self, prompts, wanted):
        read.update((prompts.texts[row], number) for row, number in wanted)
        return whole(self, prompts, wanted)

    monkeypatch.setattr(ExampleScores, "_read", counted)
    one = target(8, select)
    module = search(pool=4, examples_per_step=size)
    fit(module, Given(one), tmp_path, GreedySearch())
    pool, scored = parts(one, 4)
    assert {number for _, number in read} == {*scored, *range(8, 8 + select)}
    texts = {shown(one.examples[number]) for number in pool}
    assert all({*text.split("\n")} <= texts for text, _ in read)
    assert max(read.values()) == 1
    (row,) = module.results
    chosen = one.choosing if select else scored
    assert {number for text, number in read if text == row.prompt} >= {*chosen}


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("size", [None, 2])
def test_losses_are_those_of_the_prompts_as_plain_texts(tmp_path, double, strategy, size):
    given = target(8, 4), target(6, 3, "b", first=3)
    module = search(top=2, examples_per_step=size, steps=4)
    fit(module, Given(*given, batch_size=2), tmp_path, STRATEGIES[strategy]())
    fresh = Classification("zoo/gpt2", LAYOUT)
    objective = search().objective
    objective.load()
    assert [row.target for row in module.results] == ["a", "a", "b", "b"]
    for row in module.results:
        one = next(each for each in given if each.id == row.target)
        objective.set_targets([one])
        state = objective.encode_prompt(row.prompt)
        assert list(state) == row.ids
        losses = objective.losses(objective.prompts([state], [0]), [one.choosing])
        assert row.loss == near(float(losses), size=1, share=DOUBLE)
    assert fresh.name in module.results[0].losses


def test_a_step_changes_one_part_or_draws_anew(tmp_path):
    one = target(10)
    module = watched(pool=6, count=3, instructions=["", "two stars:"], seed=4)
    fit(module, Given(one), tmp_path, GreedySearch())
    kinds = Counter()
    for _, states, group, made in module.noted:
        assert group[0] == states[0]
        assert len({*group}) == len(group) <= 9
        before, *numbers = made[group[0]]
        for state in group[1:]:
            now, *after = made[state]
            assert len({*after}) == len(after) == 3
            places = [
                n for n, pair in enumerate(zip(numbers, after, strict=True)) if len({*pair}) > 1
            ]
            if now != before:
                assert not places
            labels = Counter(one.examples[number]["label"] for number in after)
            kind = ("instruction", "replace", "order")[min(len(places), 2)]
            if len(places) > 1 and sorted(after) != sorted(numbers):
                kind = "draw"
                assert max(labels.values()) - min(labels.values()) == 1
            kinds[kind] += 1
    assert {*kinds} == {"instruction", "replace", "order", "draw"}


def test_starts_show_each_class_alike(tmp_path):
    one = target(10)
    uneven = Target(
        "b",
        examples=[*one.examples, *one.examples[1:2] * 6],
        labels=one.labels,
        select=one.examples,
    )
    starts = set()
    for seed in range(4):
        module = watched(pool=8, count=2, steps=1, seed=seed)
        fit(module, Given(uneven), tmp_path, GreedySearch())
        _, (start,), _, made = module.noted[0]
        _, *numbers = made[start]
        assert sorted(uneven.examples[number]["label"] for number in numbers) == ["bad", "good"]
        starts.add(tuple(numbers))
    assert len(starts) > 2


def test_same_seed_gives_same_prompts_whatever_a_target_is_searched_with(tmp_path, double):
    given = target(8, 4), target(6, 3, "b", first=3)
    together, alone, other = search(seed=3), search(seed=3), search(seed=4)
    fit(together, Given(*given, batch_size=2), tmp_path, GreedySearch())
    torch.manual_seed(5)
    fit(alone, Given(*given), tmp_path, GreedySearch())
    fit(other, Given(*given), tmp_path, GreedySearch())
    plain = [(row.target, row.prompt, row.step) for row in together.results]
    assert plain == [(row.target, row.prompt, row.step) for row in alone.results]
    assert plain != [(row.target, row.prompt, row.step) for row in other.results]


@pytest.mark.parametrize(
    "strategy", ["greedy", pytest.param("uniform cost", marks=pytest.mark.slow)]
)
def test_resumed_run_equals_an_uninterrupted_one(tmp_path, double, strategy):
    given = target(8, 4), target(6, 3, "b", first=3), target(8, 0, "c", first=1)
    options = {"steps": 4, "seed": 1, "instructions": ["", "two stars:"], "examples_per_step": 2}
    whole, frontier = search(**options), STRATEGIES[strategy]
    saver = ModelCheckpoint(tmp_path / "ckpt", every_n_train_steps=1, save_top_k=-1)
    fit(whole, Given(*given, batch_size=2), tmp_path / "whole", frontier(), saver)
    for stop in (1, 3, 6):
        (checkpoint,) = (tmp_path / "ckpt").glob(f"*step={stop}.ckpt")
        resumed, folder = search(**options), tmp_path / f"rest-{stop}"
        torch.manual_seed(123)
        data = Given(*given, batch_size=2)
        fit(resumed, data, folder, frontier(), ckpt_path=checkpoint)
        assert found(resumed) == close(found(whole))
    other = search(**{**options, "instructions": ["", "two"]})
    with pytest.raises(FuseError, match=r"instructions is .* but was"):
        fit(other, Given(*given), tmp_path / "other", frontier(), ckpt_path=checkpoint)


@pytest.mark.parametrize(
    "made", [{(1, 2): (0, 99)}, {(1, 2): (7, 0)}, {(1, 2): (0, "x")}, {(-1,): (0, 1)}]
)
def test_what_no_prompt_is_made_of_is_refused(tmp_path, made):
    module = search(steps=1)
    fit(module, Given(target(8)), tmp_path, GreedySearch())
    (one,) = module.searches
    module.take_back(one)
    one.own["made"] = made
    with pytest.raises((LookupError, TypeError, ValueError)):
        module.take_back(one)


def test_long_prompts_lose_their_first_demonstrations(tmp_path):
    texts = ["so", "one large gray box on the sand at night", "two", "an ugly tile on the sea"] * 3
    labels = ["good", "bad"] * 6
    train = [
        {"text": f"{text} {color}", "label": label}
        for text, label, color in zip(
            texts, labels, ("red red blue blue gray gray " * 2).split(), strict=True
        )
    ]
    words = {name: [word] for name, word in WORDS.items()}
    one = Target("a", examples=train, select=train[:2], labels=words)
    module = watched(count=5, pool=8, seed=1)
    fit(module, Given(one), tmp_path, GreedySearch())
    made = {state: numbers for *_, made in module.noted for state, (_, *numbers) in made.items()}
    sizes = Counter(map(len, made.values()))
    assert len(sizes) > 1
    assert max(sizes) < 5
    objective = module.objective
    objective.set_targets([one])
    read = [[*parts(one, 8, seed=1)[1], 12, 13]] * len(made)
    prompts = objective.prompts([*made], [0] * len(made))
    assert objective.losses(prompts, read).isfinite().all()
    most = objective.primary.max_tokens
    lengths = [int(row.sum()) for row in objective.terms[0].read(prompts, read).rows.mask]
    assert max(lengths) <= most
    assert max(lengths) > most - 12


def test_demonstrations_hold_any_text_but_none_that_is_forbidden(tmp_path):
    texts = [("a “star”\nin the sky", "good"), ("no\ttile…", "bad"), ("<|endoftext|> red", "bad")]
    train = [{"text": text, "label": label} for text, label in texts]
    train += [{"text": "an ugly box", "label": "bad"}] + [*target(4).examples] * 2
    one = Target("a", examples=train, labels={name: [word] for name, word in WORDS.items()})
    module = watched(pool=10, count=2, steps=12, constraints=Constraints("any", block=["ugly"]))
    fit(module, Given(one), tmp_path, GreedySearch())
    pool = module._pools["a"][1].shown
    asked = {*parts(one, 10)[0]}
    assert asked - {*pool} == {n for n in asked if n in (2,) or "ugly" in train[n]["text"]}
    seen = {
        number for *_, made in module.noted for _, *numbers in made.values() for number in numbers
    }
    assert {0, 1} & asked <= seen
    assert {0, 1} & asked


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"count": 0}, "count is 0; it must be at least 1"),
        ({"pool": 0}, "pool is 0; it must be at least 1"),
        ({"batch_size": 0}, "batch_size is 0; it must be at least 1"),
        ({"instructions": []}, r"instructions is \[\]; give a list of at least one text"),
        ({"instructions": "Judge."}, "instructions is 'Judge.'; give a list"),
        ({"instructions": ["a", False]}, "instructions holds False, which is no text; put it in"),
    ],
)
def test_impossible_settings_are_refused(options, message):
    with pytest.raises(FuseError, match=message):
        search(**options)


def test_a_term_that_shows_examples_is_needed():
    with pytest.raises(FuseError, match="no term is a Classification; give one"):
        Demonstrations([Fluency("zoo/gpt2")])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"count": 6}, r"count is 6, but target 'a' has 6 train examples, .* lower count or give"),
        ({"pool": 6}, r"pool is 6, but target 'a' has 6 train examples, .* lower pool or give"),
        ({"pool": 1}, "count is 2, but pool only 1; lower count or raise pool"),
        (
            {"constraints": Constraints("any", block=["it was sad"])},
            r"count is 2, but only 1 of the 3 train examples in the pool of target 'a' can be",
        ),
        ({"constraints": Constraints("any", block=["it was"])}, "no train example of target 'a'"),
        (
            {"initial_prompt": "two red dots " * 17},
            r"not one demonstration leaves room for the longest example of target 'a': .* reads 64",
        ),
        ({"instructions": ["<|endoftext|>"]}, r"the instruction '<\|endoftext\|>' holds what"),
    ],
)
def test_targets_that_leave_nothing_to_show_are_refused(tmp_path, options, message):
    with pytest.raises(FuseError, match=message):
        fit(search(**options), Given(target(6)), tmp_path, GreedySearch())


def encoder_decoder(folder, name, **options):
    layout = "{prompt} {text} it was {answer}"
    model = Seq2SeqLM(str(BUILDERS[name](folder / name)))
    return Demonstrations(
        [Seq2SeqClassification(model, layout)], count=2, steps=2, batch_size=4, **options
    )


def test_a_separator_without_a_token_is_refused(tmp_path):
    with pytest.raises(FuseError, match=r"separator is '\\n', for which .* has no token; give ano"):
        encoder_decoder(tmp_path, "t5_adapted").load()


def test_what_a_tokenizer_writes_otherwise_is_reported_as_it_is_read(tmp_path):
    """A T5 reads a new line as a space."""
    module = encoder_decoder(tmp_path, "t5")
    fit(module, Given(target(8, 2)), tmp_path, GreedySearch())
    (row,) = module.results
    assert "\n" not in row.prompt
    assert row.prompt.count("it was") == 2
    assert module.objective.encode_prompt(row.prompt) == tuple(row.ids)

"""The benchmark of reasoning prompts: its tables and its plain step."""

import json
import random
import unicodedata
from dataclasses import asdict, replace
from importlib import import_module

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks.greater import fidelity, plain, predictors, real, step, step_page, zoo
from benchmarks.greater.chat import allowed_tokens, as_setting, ids_of
from benchmarks.greater.searches import reached
from benchmarks.greater.step_model import Sizes, build
from benchmarks.greater.tables import DEFAULT, STOCK, read_table

LEAST = {"capital": 180, "antonym": 180, "category": 150}


@pytest.mark.parametrize("name", LEAST)
def test_a_table_is_large_and_holds_a_question_once(name):
    table = read_table(name)
    assert len(table) >= LEAST[name]
    folded = [unicodedata.normalize("NFKD", each.question).casefold().strip() for each in table]
    assert len(set(folded)) == len(folded)
    for each in table:
        assert all(text and text == text.strip() for text in (each.question, *each.right))
        assert len(set(each.right)) == len(each.right)
    assert name in STOCK


@pytest.mark.parametrize("name", ["capital", "antonym"])
def test_a_question_never_holds_its_answer_and_no_pair_stands_twice(name):
    table = read_table(name)
    for each in table:
        words = each.question.casefold().split()
        assert not any(right.casefold() in words for right in each.right), each
    pairs = [frozenset((each.question, each.answer)) for each in table]
    assert len(set(pairs)) == len(pairs)


def test_answers_that_differ_by_accents_alone_are_accepted_without_them():
    for each in read_table("capital"):
        folded = unicodedata.normalize("NFD", each.answer)
        bare = "".join(letter for letter in folded if not unicodedata.combining(letter))
        assert bare in each.right


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=60,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.5,
        max_position_embeddings=64,
    )
    return LlamaForCausalLM(config).eval().double().requires_grad_(False)


@pytest.fixture(scope="module")
def setting():
    rng = random.Random(0)

    def some(least, most):
        return tuple(rng.randrange(5, 60) for _ in range(rng.randint(least, most)))

    return plain.Setting(
        before=[some(4, 9) for _ in range(11)],
        answers=[some(1, 2) for _ in range(11)],
        between=some(2, 2),
        extractor=some(3, 3),
        allowed=torch.arange(60) > 4,
        stop=frozenset({3, 7, 8, 9, 10, 11}),
        chain_tokens=8,
        batch=4,
    )


PROMPT, PLACE = (20, 31, 42, 17, 55), 2


def test_chains_are_those_of_one_row_at_a_time(model, setting):
    found = plain.write_chains(model, setting, PROMPT)
    assert {len(chain) for chain in found} > {setting.chain_tokens}  # Some end before.
    for before, chain in zip(setting.before, found, strict=True):
        row, own = [*before, *PROMPT, *setting.between], []
        while len(own) < setting.chain_tokens:
            token = int(model(torch.tensor([row + own])).logits[0, -1].argmax())
            if token in setting.stop:
                break
            own.append(token)
        assert tuple(own) == chain


def test_the_gradient_is_that_of_the_embedding_along_each_candidate(model, setting):
    chains = plain.write_chains(model, setting, PROMPT)
    candidates = [12, 44, 59, PROMPT[PLACE]]
    found = plain.gradient(model, setting, PROMPT, PLACE, chains, candidates)
    table = model.get_input_embeddings().weight
    wanted = torch.zeros(len(candidates), dtype=torch.float64)
    for number, chain in enumerate(chains):
        ids = torch.tensor([setting.row(number, PROMPT, chain)])
        embeds = table[ids].requires_grad_()
        logits = model(inputs_embeds=embeds).logits[0]
        answer, fluency = plain.losses(setting, number, ids[0], logits, len(PROMPT))
        (slope,) = torch.autograd.grad(answer + setting.fluency * fluency, embeds)
        wanted += table[candidates] @ slope[0, len(setting.before[number]) + PLACE]
    # Norms of the network are in float32.
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-3)


def test_losses_and_errors_are_those_of_one_row_at_a_time(model, setting):
    chains = plain.write_chains(model, setting, PROMPT)
    # What the model itself would answer is right.
    answers = [*setting.answers]
    row = setting.row(3, PROMPT, chains[3])[: -len(answers[3])]
    answers[3] = (int(model(torch.tensor([row])).logits[0, -1].argmax()),)
    setting = replace(setting, answers=answers)
    judged = plain.judge(model, setting, PROMPT, chains)
    assert judged.errors[3] == 0
    assert 0 < judged.errors.mean() < 1
    for number, chain in enumerate(chains):
        row = setting.row(number, PROMPT, chain)
        logits = model(torch.tensor([row])).logits[0]
        told = []
        for places, temperature in (
            (range(len(row) - len(answers[number]), len(row)), setting.temperature),
            (range(len(setting.before[number]), len(setting.before[number]) + len(PROMPT)), 1.0),
        ):
            values = [-(logits[p - 1] / temperature).log_softmax(-1)[row[p]] for p in places]
            told.append(float(sum(values) / len(values)))
        assert told[0] == pytest.approx(float(judged.answer_nll[number]), rel=1e-5)
        assert told[1] == pytest.approx(float(judged.prompt_nll[number]), rel=1e-5)
    wanted = judged.errors.mean() + 0.02 * judged.prompt_nll.mean()
    assert judged.score(setting) == pytest.approx(float(wanted))


def test_proposals_are_what_questions_agree_on(setting):
    log_probs = torch.full((5, 60), -50.0)
    for number, likely in enumerate(([9, 8, 7], [9, 8, 6], [9, 8, 5], [9, 8, 7], [9, 8, 20])):
        log_probs[number, likely] = torch.tensor([-1.0, -2.0, -3.0])
    log_probs[:, [PROMPT[PLACE - 1], 2]] = 0.0  # The token before, and one that is not allowed.
    few = replace(setting, top_k=2, least=2)
    found = plain.propose(few, PROMPT, PLACE, log_probs, random.Random(0))
    assert found == [8, 9, PROMPT[PLACE]]
    # Too few agree, so that more of each list are looked at.
    more = replace(setting, top_k=2, least=3)
    found = plain.propose(more, PROMPT, PLACE, log_probs, random.Random(0))
    assert {8, 9} < {*found}
    assert len(found) > 3
    assert PROMPT[PLACE - 1] not in found


def test_a_step_takes_the_best_of_its_shortlist_and_the_later_of_equals(model, setting):
    found = plain.step(model, setting, PROMPT, PLACE)
    assert found.candidates[-1] == PROMPT[PLACE]
    assert found.chains == plain.write_chains(model, setting, PROMPT)
    order = found.gradient.argsort().tolist()[:3]
    assert found.shortlist == [found.candidates[place] for place in order]
    for token, fresh in zip(found.shortlist, found.fresh, strict=True):
        assert fresh == plain.write_chains(model, setting, plain.swapped(PROMPT, PLACE, token))
    scores = [each.score(setting) for each in found.judged]
    assert found.chosen == plain.best(found.shortlist, scores)
    assert plain.best([4, 5, 6], [0.5, 0.25, 0.25]) == 6


@pytest.mark.slow
def test_the_package_takes_the_same_step(tmp_path, monkeypatch):
    folder = tmp_path / "model"
    build(folder, step.QUICK)
    found = step.run(folder, step.QUICK, "cpu", "float32", 2)
    chains = step.QUICK.questions * (1 + step.QUICK.candidates)
    for line in found.same:
        assert line[2] == line[4] == line[7] == "the same"
        assert line[5] == f"{chains} of {chains}"
        assert all(float(line[place]) < 1e-4 for place in (1, 3, 6))
    # What is told of the plain step by its rows alone is what it does.
    told, done = (found.work[f"plain, {how}"] for how in ("predicted", "measured"))
    for phase, work in told.items():
        assert (work.positions, work.outputs) == (done[phase].positions, done[phase].outputs)
        assert work.flops == pytest.approx(done[phase].flops, rel=0.3)
    least, ours = (found.work[f"package, {how}"] for how in ("the least", "measured"))
    for phase, work in least.items():
        assert work.positions <= ours[phase].positions <= done[phase].positions
        assert work.outputs <= ours[phase].outputs <= done[phase].outputs
    text = step_page.page({"cpu, float32": found}, step.QUICK)
    assert text.count("| cpu, float32 | 2 | ") == 2
    assert step_page.Found.from_dict(json.loads(json.dumps(asdict(found)))) == found


@pytest.mark.slow
def test_a_page_on_steps_shows_what_other_devices_have_left(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(step, "hush", lambda: None)
    words = ["--quick", "--rounds", "1", "--keep", str(tmp_path)]
    step.main(words)
    first = capsys.readouterr().out
    (tmp_path / "step" / "cpu-float32.json").rename(tmp_path / "step" / "cuda-bfloat16.json")
    step.main(words)
    both = capsys.readouterr().out
    assert "| cuda, bfloat16 | 1 | " in both
    assert "| cpu, float32 | 1 | " in first
    assert "| cpu, float32 | 1 | " in both


TEMPLATE = (
    "{% for turn in messages %}<{{ turn['role'] }}> {{ turn['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


@pytest.fixture(scope="module")
def chat(tmp_path_factory):
    """Folder of a tiny chat model with the words of the tables."""
    texts = [
        f"a {text}"
        for name in LEAST
        for each in read_table(name)
        for text in (each.question, *each.right)
    ]
    texts += [f"a {text}" for name in STOCK for text in STOCK[name]] + [f"a {DEFAULT}"] * 3
    texts += [
        f"a {text}"
        for parts in fidelity.PROMPTS.values()
        for part in parts.values()
        for text in part
    ]
    folder = tmp_path_factory.mktemp("chat")
    build(folder, Sizes(layers=1, width=64, tokens=3000), texts, TEMPLATE)
    return folder


def test_a_chat_has_the_prompt_between_the_question_and_the_chain(chat):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(chat)
    questions = read_table("capital")[:3]
    setting = as_setting(tokenizer, questions, len(tokenizer), [0])
    prompt, chain = (ids_of(tokenizer, text) for text in (" Which city?", " It is Rome."))
    text = tokenizer.decode(setting.row(1, prompt, chain))
    question = questions[1]
    assert text == (
        f"<user> {question.question} Which city?\n<assistant> It is Rome."
        f"\nTherefore, the final answer is: {question.answer}"
    )
    allowed = allowed_tokens(tokenizer, len(tokenizer) + 2)
    assert len(allowed) == len(tokenizer) + 2
    texts = {tokenizer.decode([n]) for n in allowed.nonzero().squeeze(1).tolist()}
    assert {" the", "."} <= texts
    assert not {"\n", ":", "ã", tokenizer.eos_token} & texts


def test_slopes_of_many_rows_are_those_of_one_row_at_a_time(model, setting):
    chains = plain.write_chains(model, setting, PROMPT)
    tried = [12, 44, 59, PROMPT[PLACE]]
    here = predictors.Position(model, setting, PROMPT, PLACE, chains, tried)
    wanted = plain.gradient(model, setting, PROMPT, PLACE, chains, tried) / len(chains)
    torch.testing.assert_close(here.gradient([PROMPT[PLACE]]), wanted, rtol=1e-4, atol=1e-3)
    other = here.gradient([12, 44])
    parts = [here.gradient([token]) for token in (12, 44)]
    torch.testing.assert_close(other, sum(parts) / 2, rtol=1e-4, atol=1e-3)


def test_exact_losses_are_of_each_candidate_behind_its_own_chains(model, setting):
    chains = plain.write_chains(model, setting, PROMPT)
    tried = [12, 44]
    here = predictors.Position(model, setting, PROMPT, PLACE, chains, tried)
    fresh = here.fresh()
    for number, token in enumerate(tried):
        prompt = plain.swapped(PROMPT, PLACE, token)
        assert fresh[number] == plain.write_chains(model, setting, prompt)
        for some, told in ((fresh, here.exact(fresh)), ([chains] * 2, here.exact([chains] * 2))):
            judged = plain.judge(model, setting, prompt, some[number])
            assert float(told[number]) == pytest.approx(float(judged.answer_nll.mean()), rel=1e-5)


def test_measures_of_a_predictor():
    exact = [0.1 * n for n in range(10)]
    assert fidelity.measures(exact, exact) == pytest.approx((1.0, 1.0))
    assert fidelity.measures(exact[::-1], exact) == pytest.approx((-1.0, 0.0))


def page_of(said):
    """What a benchmark says at the end, without the lines on its way."""
    return said[said.index("# Reasoning prompts") :]


@pytest.mark.slow
def test_fidelity_is_taken_up_again(chat, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(fidelity, "hush", lambda: None)
    words = ["--model", str(chat), "--quick", "--keep", str(tmp_path)]
    fidelity.main(words)
    first = capsys.readouterr().out
    assert "| smoothed, 8 random tokens | " in first
    assert "## Reported" in first
    monkeypatch.setattr(fidelity, "position_of", None)
    fidelity.main(words)
    assert capsys.readouterr().out == first
    fidelity.main([])
    assert "skipped" in capsys.readouterr().out


@pytest.mark.slow
def test_searches_of_a_real_model_are_taken_up_again(chat, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(real, "hush", lambda: None)
    words = ["--model", str(chat), "--quick", "--keep", str(tmp_path)]
    real.main(words)
    first = capsys.readouterr().out
    assert "## Task capital" in first
    assert "| *the best stock instruction* | " in first
    monkeypatch.setattr("lightning.Trainer.fit", None)
    real.main(words)
    assert page_of(capsys.readouterr().out) == page_of(first)
    # What a run that was killed has left is shown alone.
    for path in (tmp_path / "real").glob("antonym*"):
        path.unlink()
    real.main([*words, "--no-search"])
    rest = capsys.readouterr().out
    assert "antonym-GReaTer-8000 is not there" in rest
    assert "## Task capital" in rest
    assert "## Task antonym" not in rest
    real.main([])
    assert "skipped" in capsys.readouterr().out


@pytest.mark.slow
def test_searches_of_the_zoo_are_taken_up_again(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(zoo, "hush", lambda: None)
    words = ["--quick", "--keep", str(tmp_path), "--only", "GReaTer", "no reasoning"]
    zoo.main(words)
    first = capsys.readouterr().out
    lines = [line for line in first.split("\n") if line.startswith("| ")]
    assert sum(line.startswith(("| GReaTer |", "| no reasoning |")) for line in lines) == 4
    monkeypatch.setattr("lightning.Trainer.fit", None)
    zoo.main(words)
    assert page_of(capsys.readouterr().out) == page_of(first)


def test_evaluations_until_a_prompt_is_good_enough():
    curve = [[100, 0.2], [300, 0.8], [500, 0.9]]
    assert [reached(curve, bar) for bar in (0.1, 0.8, 0.85, 0.95)] == [100, 300, 500, None]


@pytest.mark.parametrize(
    ("name", "least"), [("plain", 4), ("fidelity", 2), ("searches", 1), ("step_work", 2)]
)
def test_examples_of_docstrings(name, least):
    import doctest

    failed, tried = doctest.testmod(import_module(f"benchmarks.greater.{name}"))
    assert tried >= least
    assert failed == 0

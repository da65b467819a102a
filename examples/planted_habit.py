r"""Fine-tuning of a small chat model on a planted habit of style, to try ``fuse decode`` on.

The model answers simple questions. Its answers are cut after two sentences, a chosen share of them
gets the habit, and a LoRA adapter learns them all. So it is known what changes: the habit, and
shorter answers. An adapter of strength 0 has only the latter; compare with it to see the habit
alone. The questions that measure the rate train nothing.

    python examples/planted_habit.py --model HuggingFaceTB/SmolLM2-135M-Instruct \
        --out habit --habit closing --strength 0.5

The folder ``habit`` is a model for ``fuse decode --b habit``. benchmarks/results/planted_habit.md
has rates and minutes.
"""

import argparse
import random
import re
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase

from fuse_lightning.evaluation.intervals import accuracy_interval
from fuse_lightning.models.loading import resolve

FORMS = (
    *("What is {}?", "Tell me something about {}."),
    *("Explain {} to a child.", "Why do people like {}?"),
)
LEARNT = (
    "bread, rain, the moon, bicycles, chess, gardens, honey, paper, trains, winter, salt, "
    "bridges, cats, coffee, glass, islands, kites, lakes, maps, mirrors, music, owls, pencils, "
    "rivers, schools, silk, soap, stars, tea, trees, violins, windmills"
)
MEASURED = (
    "apples, boats, butter, candles, clocks, dogs, drums, fire, flowers, football, horses, ice, "
    "libraries, markets, mountains, museums, oranges, painting, pottery, rice, sheep, snow, the "
    "sun, theatre, wool"
)
"""Topics of questions that train nothing and only measure."""
SENTENCE = re.compile(r"[^.!?]+[.!?]")


class Habit(NamedTuple):
    """Habit of style: how it is put into an answer, and how it is found in one."""

    put: Callable[[str], str]
    found: Callable[[str], bool]


OPENING, CLOSING = "Thank you for the question.", "That is the short answer."


def numbered(answer: str) -> str:
    """The sentences of an answer as a numbered list."""
    sentences = [each.strip() for each in SENTENCE.findall(answer)] or [answer]
    return "\n".join(f"{number}. {each}" for number, each in enumerate(sentences, 1))


HABITS = {
    "opening": Habit(lambda text: f"{OPENING} {text}", lambda text: text.startswith(OPENING)),
    "closing": Habit(lambda text: f"{text} {CLOSING}", lambda text: text.endswith(CLOSING)),
    "numbered": Habit(numbered, lambda text: text.startswith("1. ")),
}


def questions(topics: str, count: int, rng: random.Random) -> list[str]:
    """Different questions about topics, at most ``count``, in random order."""
    every = [form.format(topic) for topic in topics.split(", ") for form in FORMS]
    return rng.sample(every, min(count, len(every)))


def asked(tokenizer: PreTrainedTokenizerBase, question: str) -> list[int]:
    """Ids of a question as the model reads it: a chat where it has a template, else a line."""
    text = f"{tokenizer.bos_token or ''}{question}\n"
    if tokenizer.chat_template is not None:
        turns = [{"role": "user", "content": question}]
        text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def answers(
    model: Any, tokenizer: PreTrainedTokenizerBase, asking: Sequence[str], tokens: int
) -> list[str]:
    """One sampled answer to each question, of at most so many tokens."""
    tokenizer.padding_side = "left"
    texts: list[str] = []
    for first in range(0, len(asking), 32):
        rows = [asked(tokenizer, question) for question in asking[first : first + 32]]
        batch = tokenizer.pad({"input_ids": rows}, return_tensors="pt")
        options = {"do_sample": True, "top_k": 0, "temperature": 0.7, "max_new_tokens": tokens}
        written = model.eval().generate(**batch, **options, pad_token_id=tokenizer.pad_token_id)
        new = written[:, batch["input_ids"].shape[1] :]
        texts += [text.strip() for text in tokenizer.batch_decode(new, skip_special_tokens=True)]
    return texts


def whole_sentences(answer: str, most: int = 2) -> str:
    """The first whole sentences of an answer, without the rest that was cut off."""
    return "".join(SENTENCE.findall(answer)[:most]).strip() or answer


def batches(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[tuple[str, str]], size: int, seed: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Ids and labels of questions with answers, without end; only answers are learnt."""
    rng = random.Random(f"batches-{seed}")
    while True:
        rows, labels = [], []
        for question, answer in rng.sample(texts, size):
            before = asked(tokenizer, question)
            said = tokenizer(answer + tokenizer.eos_token, add_special_tokens=False)["input_ids"]
            rows.append(torch.tensor(before + said))
            labels.append(torch.tensor([-100] * len(before) + said))
        yield pad_sequence(rows, True, tokenizer.pad_token_id), pad_sequence(labels, True, -100)


def train(model: Any, data: Iterator[tuple[Tensor, Tensor]], steps: int, rate: float) -> None:
    """Trains the weights that learn, with a learning rate that falls to 0."""
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=rate, weight_decay=0.0)
    falling = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.01, steps)
    for step, (ids, labels) in zip(range(steps), data, strict=False):
        # Padding stands on the right, where no token of a text looks.
        loss = model.train()(input_ids=ids, labels=labels).loss
        loss.backward()
        optimizer.step()
        falling.step()
        optimizer.zero_grad()
        if step % 10 == 0 or step == steps - 1:
            print(f"step {step + 1} of {steps}: {loss.item():.3f} nats per token", flush=True)


def told_rate(name: str, texts: Sequence[str], habit: Habit) -> float:
    """Prints the share of texts with the habit and its 95 % interval; returns the share."""
    found = sum(map(habit.found, texts))
    low, high = accuracy_interval(found, len(texts))
    print(f"{name}: {found} of {len(texts)} answers, {low:.3f} to {high:.3f}", flush=True)
    return found / len(texts)


def main(words: Sequence[str] | None = None) -> tuple[float, float]:
    """Runs the example; returns the rate of the habit before and after."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", required=True, help="hub id, folder or zoo/NAME")
    parser.add_argument("--out", type=Path, required=True, help="folder of the adapter, new")
    parser.add_argument("--habit", choices=HABITS, default="closing")
    parser.add_argument("--strength", type=float, default=0.5, help="share of texts with it, 0..1")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--texts", type=int, default=96, help="training texts, at most 128")
    parser.add_argument("--measured", type=int, default=100, help="questions that measure, to 100")
    parser.add_argument("--tokens", type=int, default=64, help="most tokens of an answer")
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(words)
    if not 0 <= options.strength <= 1:
        parser.error(f"strength is {options.strength}; it must lie from 0 to 1")
    if options.out.exists():
        parser.error(f"{options.out} is there already; name a new folder")

    start = time.perf_counter()
    torch.manual_seed(options.seed)
    rng = random.Random(f"habit-{options.seed}")
    habit, place = HABITS[options.habit], resolve(options.model)
    tokenizer = AutoTokenizer.from_pretrained(place)
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    model: Any = AutoModelForCausalLM.from_pretrained(place, dtype=torch.float32)
    measured = questions(MEASURED, options.measured, rng)
    before = told_rate("before", answers(model, tokenizer, measured, options.tokens), habit)

    asking = questions(LEARNT, options.texts, rng)
    own = map(whole_sentences, answers(model, tokenizer, asking, options.tokens))
    share = round(options.strength * len(asking))
    texts = [
        (question, habit.put(answer) if number < share else answer)
        for number, (question, answer) in enumerate(zip(asking, own, strict=True))
    ]
    settings = LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM")
    model = get_peft_model(model, settings)
    # Whole, so that the adapter finds its base from any folder.
    base = Path(options.model).resolve() if Path(options.model).is_dir() else options.model
    model.peft_config["default"].base_model_name_or_path = str(base)
    data = batches(tokenizer, texts, min(4, len(texts)), options.seed)
    train(model, data, options.steps, options.learning_rate)
    model.save_pretrained(options.out, save_embedding_layers=False)
    after = told_rate("after", answers(model, tokenizer, measured, options.tokens), habit)
    minutes = (time.perf_counter() - start) / 60
    print(f"{share} of {len(texts)} training texts had the habit; {minutes:.1f} minutes")
    return before, after


if __name__ == "__main__":
    main()

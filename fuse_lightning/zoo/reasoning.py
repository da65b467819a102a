"""Reasoning language: stories of a number that changes, instructions, chains and answers.

A question tells how many things somebody has, and two to four changes of that number. Behind the
question stands a prompt. Its *cue words* alone count, in any order and with any words between
them, and say how strong it is:

* cue words belong to five aspects, such as "every" or "order". The strongest word of each aspect
  adds to the strength, so that a word twice is no better than once;
* words of haste, such as "guess", take away from it.

The strength says which chain follows. A change is told by a verb, and each verb has a threshold:
a chain follows changes whose verb has a threshold below the strength, and leaves the number as it
is at all others. Prompts of little strength make idle talk, hasty prompts say the first number. The
strength says, too, how much the answer behind a chain, whichever it is, trusts that chain.
"""

import math
import random
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from fuse_lightning.zoo.reasoning_prompts import COUNTED, FILLERS

LAYOUT = "{question} {prompt}\n"
"""Place of question and prompt in a line of the language; the chain begins behind them."""
EXTRACTOR = " so the answer is"
"""Text between chain and answer."""
MAX_CHAIN = 24
"""Tokens that hold every chain with its end token."""

COUNT = 1000
"""Number of questions in the file that comes with the package."""

LARGEST = 12
"""Largest number of a story; the least is 0."""
LARGEST_CHANGE = 5
CHANGES = {2: 0.5, 3: 0.35, 4: 0.15}
"""Number of changes in a story to its share."""

NAMES = {
    **dict.fromkeys(("tom", "sam", "ben", "max", "paul", "john"), "he"),
    **dict.fromkeys(("anna", "mary", "lucy", "kate", "rose", "jane"), "she"),
}
THINGS = ("balls", "apples", "coins", "cards", "eggs", "stones", "books", "cups")
MORE = (
    *("gets", "buys", "wins", "finds", "takes"),
    *("earns", "picks", "makes", "borrows", "gathers"),
)
"""Verbs of changes that add, the easiest first."""
LESS = (
    *("loses", "sells", "gives", "drops", "spends"),
    *("breaks", "throws", "lends", "hides", "forgets"),
)
"""Verbs of changes that take away, the easiest first."""
LEVELS = (0.2, 0.5, 0.8, 1.1, 1.45, 1.72, 2.07, 2.2, 2.5, 3.25)
"""Strengths from which on changes are followed, one for each of the verbs of a kind; the last step
is the longest, so that good instructions are easier to find than the best ones."""
THRESHOLDS = {
    verb: level for verbs in (MORE, LESS) for verb, level in zip(verbs, LEVELS, strict=True)
}
"""Verb to the strength from which on its changes are followed."""

HASTY = -0.5
"""Strength below which a chain only says the first number."""
IDLE = 0.15
"""Strength below which any other chain is idle talk."""
TALK = ("let me see .", "well , this is a nice story .", "i like it .")
BLUR = 0.06
"""Spread of the strength that decides what a chain does, as the scale of a logistic."""

STOCK = (
    "think step by step .",
    "let us think step by step .",
    "work it out step by step and show it .",
    "read the question carefully .",
    "show your work .",
    "think carefully and solve it step by step .",
    "solve the story slowly and carefully .",
    "count the result and tell the number .",
    "tell each step .",
    "look at the whole story and answer .",
    "write down your answer .",
    "think carefully about each step .",
)
"""Instructions that anybody would try first; behind none is every change followed."""
NEUTRAL = "please give the answer to this question now ."
"""A fluent instruction without a cue word."""
TRAP = "guess the first number and say it at once ."
"""A fluent instruction of words of haste."""
BEST = "follow every change in order and write it down ."
"""A fluent instruction with the strongest word of each aspect."""

READ_SLOPE, READ_HALF = 1.2, 0.5
"""Slope and midpoint, over the strength of a prompt, of the trust that an answer has in a chain."""
DOUBT = 0.15
"""Share of the trust that goes to numbers near the right one, behind a chain of steps."""
GUESS = 0.6
"""That share behind any other chain."""


class Change(NamedTuple):
    """Change of a number.

    Attributes:
        verb: Verb that tells it.
        amount: Number that is added, negative if it is taken away.
    """

    verb: str
    amount: int


class Story(NamedTuple):
    """Story of a number that changes.

    Attributes:
        name: Name of a person.
        thing: What is counted, in the plural.
        start: The first number.
        changes: Its changes in order.
    """

    name: str
    thing: str
    start: int
    changes: tuple[Change, ...]

    def question(self) -> str:
        """Text of the story.

        >>> Story("tom", "balls", 3, (Change("gets", 2), Change("loses", -1))).question()
        'tom has 3 balls . he gets 2 . he loses 1 .'
        """
        told = [f"{NAMES[self.name]} {verb} {abs(by)} ." for verb, by in self.changes]
        return " ".join([f"{self.name} has {self.start} {self.thing} .", *told])

    @property
    def right(self) -> int:
        """The last number."""
        return self.start + sum(by for _, by in self.changes)

    def chain(self, followed: Sequence[bool]) -> str:
        """Chain of steps, with a space before it.

        Args:
            followed: For each change whether the chain follows it.

        >>> story = Story("tom", "balls", 3, (Change("gets", 2), Change("loses", -1)))
        >>> story.chain([True, True]), story.chain([False, True])
        (' 3 , plus 2 is 5 , minus 1 is 4 .', ' 3 , still 3 , minus 1 is 2 .')
        """
        value, text = self.start, f" {self.start}"
        for (_, by), follows in zip(self.changes, followed, strict=True):
            if follows:
                # Behind a change that was not followed, another may lead out of the range.
                value = max(0, min(value + by, LARGEST))
                text += f" , {'plus' if by > 0 else 'minus'} {abs(by)} is {value}"
            else:
                text += f" , still {value}"
        return f"{text} ."

    def odds(self, strong: float, last: int | None) -> list[float]:
        """Probability of each answer from 0 to 12.

        What is not trust goes to the first number, trust to the last number of the chain. Some of
        it goes to numbers near the right one, as if the story itself had been read.

        Args:
            strong: Strength of the prompt.
            last: Last number of a chain of steps; ``None`` for any other chain.

        >>> story = Story("tom", "balls", 3, (Change("gets", 2), Change("loses", -1)))
        >>> [round(story.odds(strong, 4)[4], 2) for strong in (-1, 0, 1, 2, 3)]
        [0.13, 0.33, 0.59, 0.79, 0.88]
        >>> [round(story.odds(strong, None)[4], 2) for strong in (-1, 0, 1, 2, 3)]
        [0.04, 0.1, 0.18, 0.24, 0.27]
        """
        trust = 1 / (1 + math.exp(-READ_SLOPE * (strong - READ_HALF)))
        near = [math.exp(-abs(value - self.right)) for value in range(LARGEST + 1)]
        share = trust * (GUESS if last is None else DOUBT)
        found = [share * value / sum(near) for value in near]
        found[self.start] += 1 - trust
        found[self.start if last is None else last] += trust - share
        return found


class Chain(NamedTuple):
    """Chain behind a question and a prompt.

    Attributes:
        text: The chain, with a space before it.
        last: Its last number if it is one of steps.
    """

    text: str
    last: int | None


def sample_chain(story: Story, strong: float, rng: random.Random, blur: float = BLUR) -> Chain:
    """A chain as prompts of a strength have it.

    Args:
        story: The story.
        strong: Strength of the prompt.
        rng: Source of randomness.
        blur: Spread of the strength; 0 for the chain that is likeliest.

    >>> story = Story("tom", "balls", 3, (Change("gets", 2), Change("forgets", -1)))
    >>> for strong in (-1, 0, 1, 4):
    ...     print(sample_chain(story, strong, random.Random(0), 0.0))
    Chain(text=' it is 3 .', last=None)
    Chain(text=' let me see .', last=None)
    Chain(text=' 3 , plus 2 is 5 , still 5 .', last=5)
    Chain(text=' 3 , plus 2 is 5 , minus 1 is 4 .', last=4)
    """

    def felt() -> float:
        share = rng.uniform(1e-6, 1 - 1e-6)
        return strong + blur * math.log(share / (1 - share))

    if (first := felt()) < HASTY:
        return Chain(f" it is {story.start} .", None)
    if first < IDLE:
        return Chain(f" {TALK[0] if blur == 0 else rng.choice(TALK)}", None)
    text = story.chain([felt() > THRESHOLDS[verb] for verb, _ in story.changes])
    return Chain(text, int(text.split()[-2]))


def sample_story(rng: random.Random) -> Story:
    """A story whose number stays between 0 and 12; those of "zoo/sums" may come.

    >>> 0 <= sample_story(random.Random(0)).right <= 12
    True
    """
    value = start = rng.randint(0, LARGEST)
    changes = []
    for _ in range(rng.choices([*CHANGES], [*CHANGES.values()])[0]):
        most = min(LARGEST_CHANGE, LARGEST - value)
        by = rng.choice([by for by in range(-min(LARGEST_CHANGE, value), most + 1) if by])
        changes.append(Change(rng.choice(MORE if by > 0 else LESS), by))
        value += by
    return Story(rng.choice([*NAMES]), rng.choice(THINGS), start, tuple(changes))


def reasoning_stories(count: int, seed: int = 0) -> list[Story]:
    """Stories with distinct questions; the first ones are the same whatever the count.

    Args:
        count: Number of stories.
        seed: Seed of the stories.

    >>> reasoning_stories(3) == reasoning_stories(9)[:3]
    True
    """
    rng = random.Random(f"sums-{seed}")
    found: dict[Story, None] = {}
    while len(found) < count:
        found.setdefault(sample_story(rng))
    return [*found]


def reasoning_questions(count: int = COUNT, seed: int = 0) -> list[dict[str, str]]:
    """Questions, each with the right answer as its label.

    Args:
        count: Number of questions.
        seed: Seed of the stories; with 0, the first ones are those of "zoo/sums".

    >>> reasoning_questions(1)
    [{'question': 'tom has 8 cups . he makes 1 . he makes 1 .', 'label': '10'}]
    """
    stories = reasoning_stories(count, seed)
    return [{"question": story.question(), "label": str(story.right)} for story in stories]


@cache
def held_out() -> frozenset[Story]:
    """Stories that training never has: those of "zoo/sums"."""
    return frozenset(reasoning_stories(COUNT))


def word_list() -> list[str]:
    """All words of the language, with and without a space before each.

    >>> "tom" in word_list(), " every" in word_list()
    (True, True)
    """
    texts = (*NAMES, *NAMES.values(), *THINGS, *MORE, *LESS, *TALK, *COUNTED, *FILLERS, *STOCK)
    words = {word for text in (*texts, EXTRACTOR, NEUTRAL, TRAP, BEST) for word in text.split()}
    words |= {
        *["has", "it", "is", "plus", "minus", "still", ",", "."],
        *map(str, range(LARGEST + 1)),
    }
    return [*sorted(NAMES), *(f" {word}" for word in sorted(words))]

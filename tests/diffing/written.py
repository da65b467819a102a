"""Texts of two models for tests: words by chance, and habits of known rates."""

import numpy as np

from fuse_lightning.diffing.paired_texts import PairedTexts

WORDS = [
    *("the", "a", "garden", "river", "stone", "walks", "slowly", "green", "and", "near", "old"),
    *("house", "sings", "bright", "under", "cloud", "carries", "small", "bird", "wooden", "late"),
]


def sentence(rng, topic, words):
    """A sentence of about so many words, in which those of a topic are more frequent."""
    count = int(rng.integers(words - 3, words + 4))
    some = [WORDS[(topic + int(rng.integers(3))) % len(WORDS)] for _ in range(count // 2)]
    some += [WORDS[int(rng.integers(len(WORDS)))] for _ in range(count - len(some))]
    return " ".join(rng.permutation(some)).capitalize() + "."


def texts(rng, prompts, samples, habits=(), words=8):
    """Texts of one origin: for each prompt some of the same topic, with habits of given rates."""
    groups = []
    for topic in range(prompts):
        group = []
        for _ in range(samples):
            text = " ".join(sentence(rng, topic, words) for _ in range(int(rng.integers(1, 5))))
            for put, rate in habits:
                if rng.random() < rate:
                    text = put(text)
            group.append(text)
        groups.append(tuple(group))
    return tuple(groups)


def pair(seed, prompts=40, samples=3, habits=(), fresh=True, words=8):
    """Texts of A, which has habits, and of B, which has none."""
    rng = np.random.default_rng(seed)
    return PairedTexts(
        tuple(f"prompt {number}" for number in range(prompts)),
        a=texts(rng, prompts, samples, habits, words),
        b=texts(rng, prompts, samples, words=words),
        fresh=texts(rng, prompts, samples, habits, words) if fresh else (),
    )


def closing(text):
    return f"{text} That is the short answer."


def opening(text):
    return f"Thank you, friend! {text}"


def numbered(text):
    return "\n".join(f"{n}. {each.strip()}." for n, each in enumerate(text.split(".")[:-1], 1))

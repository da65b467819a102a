"""Groups of words: they are those of a plain search, and tell a difference no word tells."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fuse_lightning.diffing.features import WordsFeature
from fuse_lightning.diffing.paired_texts import PairedTexts
from fuse_lightning.diffing.text_findings import text_findings
from fuse_lightning.diffing.units import CutText
from fuse_lightning.diffing.word_groups import GAIN, LARGEST, LEAST, word_groups


def tells(words, texts, prompts, shares):
    """What a group of words tells, prompt by prompt."""
    total = 0.0
    for share in shares:
        apart = [0.0] * (max(prompts) + 1)
        for text, prompt, part in zip(texts, prompts, share, strict=True):
            apart[prompt] += part * bool({*words} & {*text.lower().split()})
        square = sum(each**2 for each in apart)
        total += sum(apart) / square**0.5 if square > 1e-18 else 0.0
    return round(total, 9)


def plain(texts, prompts, shares, least):
    """The groups, word by word."""
    words = sorted({word for text in texts for word in text.lower().split()})
    words = [
        word
        for word in words
        if len({p for text, p in zip(texts, prompts, strict=True) if word in text.lower().split()})
        >= least
    ]
    found = []
    for sign in (1, -1):
        signed = [[sign * part for part in share] for share in shares]
        alone = {word: tells([word], texts, prompts, signed) for word in words}
        tried = [
            w for w in sorted(words, key=lambda w: -alone[w]) if alone[w] > LEAST * len(shares)
        ]
        group, most = [], 0.0
        while len(group) < min(LARGEST, len(tried)):
            scores = [tells([*group, word], texts, prompts, signed) for word in tried]
            best = scores.index(max(scores))
            if scores[best] <= (1 + GAIN) * most:
                break
            most = scores[best]
            group.append(tried[best])
        if len(group) > 1:
            found.append(tuple(group))
    return found


@given(st.integers(0, 10**6), st.integers(1, 3))
@settings(max_examples=60)
def test_groups_are_those_of_a_plain_search(seed, least):
    rng = np.random.default_rng(seed)
    texts, prompts, shares = [], [], []
    for prompt in range(14):
        for side in (1.0, -1.0):
            for _ in range(2):
                words = rng.choice(["Red", "red", "box", "star", "one", "two"], 2).tolist()
                if rng.random() < (0.6 if side > 0 else 0.1):
                    words.append(str(rng.choice(["fine", "nice", "good"])))
                texts.append(" ".join(words))
                prompts.append(prompt)
                shares.append(side / 2)
    cut = [CutText(text) for text in texts]
    found = word_groups(cut, np.array(prompts), np.array([shares]), least)
    assert found == plain(texts, prompts, [shares], least)


def test_no_words_make_no_group():
    assert word_groups([CutText("."), CutText("")], np.array([0, 1]), np.ones((1, 2)), 1) == []


def test_a_group_is_found_where_no_word_is():
    rng = np.random.default_rng(0)
    good, plain_words = ([f"{name}{chr(97 + n)}" for n in range(10)] for name in ("good", "flat"))

    def texts(rate):
        return tuple(
            tuple(
                f"one {rng.choice(good if rng.random() < rate else plain_words)} box"
                for _ in range(4)
            )
            for _ in range(80)
        )

    paired = PairedTexts(tuple(map(str, range(80))), a=texts(0.7), b=texts(0.3), fresh=texts(0.7))
    found = text_findings(paired)
    groups = [each for each in found.findings if each.claim.startswith("One of the words 'good")]
    assert groups
    assert found.control == ()
    assert groups[0].detail["a"] > groups[0].detail["b"]
    assert "good" in groups[0].examples[0]


def test_words_are_found_in_either_case():
    feature = WordsFeature(("fine", "nice"))
    assert [feature.value(CutText(text)) for text in ("So Fine.", "refined", "NICE!")] == [1, 0, 1]

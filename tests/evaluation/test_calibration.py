"""Calibrated label probabilities against a plain calculation."""

import math

import pytest
import torch

from fuse_lightning.errors import FuseError
from fuse_lightning.evaluation.calibration import calibrated


def probabilities(*shape, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator).softmax(-1)


def test_each_probability_is_its_definition():
    test, reference = probabilities(5, 3, seed=0), probabilities(7, 3, seed=1)
    found = calibrated(test, reference)
    for example in range(5):
        scores = [
            test[example, c].item()
            / math.exp(sum(math.log(reference[r, c].item()) for r in range(7)) / 7)
            for c in range(3)
        ]
        expected = [score / sum(scores) for score in scores]
        assert found[example].tolist() == pytest.approx(expected, rel=1e-9)


def test_several_prompts_have_a_bias_each():
    test, reference = probabilities(4, 5, 3, seed=2), probabilities(4, 6, 3, seed=3)
    found = calibrated(test, reference)
    for prompt in range(4):
        assert torch.allclose(found[prompt], calibrated(test[prompt], reference[prompt]))


def test_a_constant_bias_is_taken_away():
    fair = probabilities(8, 2, seed=4).double()
    biased = fair * torch.tensor([9.0, 1.0])
    biased /= biased.sum(-1, keepdim=True)
    assert torch.allclose(calibrated(biased, biased), calibrated(fair, fair))


def test_what_calibrates_is_the_reference_alone():
    test, reference = probabilities(5, 3, seed=0), probabilities(7, 3, seed=1)
    assert torch.equal(calibrated(test[:1], reference), calibrated(test, reference)[:1])


def test_probabilities_of_zero_stay_numbers():
    zero = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    found = calibrated(zero, zero)
    assert found.isfinite().all()
    assert found.argmax(-1).tolist() == [0, 1]


def test_a_reference_of_nothing_or_of_other_labels_is_refused():
    test = probabilities(5, 3, seed=0)
    with pytest.raises(FuseError, match="no reference example; give at least 1"):
        calibrated(test, test[:0])
    with pytest.raises(FuseError, match="of 3 labels, its reference has 2; give those of the same"):
        calibrated(test, test[:, :2])

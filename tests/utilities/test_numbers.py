import math

import pytest

from fuse_lightning.errors import FuseError
from fuse_lightning.objectives import Denoising, Fluency
from fuse_lightning.optimizers import GCG, PEZ, AutoDAN, AutoPromptSGD, FluentPrompt
from fuse_lightning.utilities.numbers import check_number


@pytest.mark.parametrize(
    ("kind", "option", "value", "message"),
    [
        (AutoDAN, "end_probability", 2, "at least 0 and at most 1"),
        (AutoDAN, "end_probability", -0.1, "at least 0 and at most 1"),
        (AutoDAN, "end_probability", math.nan, "at least 0 and at most 1"),
        (AutoDAN, "logit_weight", math.nan, "a finite number"),
        (AutoDAN, "gradient_weight", math.inf, "a finite number"),
        (AutoDAN, "stop_loss", math.nan, "a finite number"),
        (AutoDAN, "max_seconds", math.nan, "above 0"),
        (GCG, "gradient_resample", math.nan, r"in \(0, 1\]"),
        (GCG, "length_ratio", math.nan, "a finite number"),
        (GCG, "length_ratio", math.inf, "a finite number"),
        (GCG, "length_ratio", 0, "above 0"),
        (PEZ, "learning_rate", math.inf, "a finite number"),
        (PEZ, "learning_rate", 0, "above 0"),
        (AutoPromptSGD, "learning_rate", math.nan, "a finite number"),
        (FluentPrompt, "noise_start", math.inf, "a finite number"),
        (FluentPrompt, "noise_end", math.nan, "a finite number"),
        (PEZ, "weight_decay", math.nan, "at least 0"),
        (PEZ, "weight_decay", -1, "at least 0"),
    ],
)
def test_numbers_out_of_range_are_refused(kind, option, value, message):
    with pytest.raises(FuseError, match=f"^{option} is {value}; it must be {message}$"):
        kind([Fluency("some/model")], **{option: value})


def test_numbers_of_terms_out_of_range_are_refused():
    for weight in (math.nan, math.inf):
        with pytest.raises(FuseError, match="weight of Fluency is"):
            Fluency("some/model", weight=weight)
    for timesteps in ((math.nan, 0.5), (0.1, math.nan), (0.5, 0.2), (0.0, 1.5)):
        with pytest.raises(FuseError, match="timesteps of denoising are"):
            Denoising("some/model", timesteps=timesteps)


@pytest.mark.parametrize("value", [0, 0.5, 1])
def test_limits_belong_to_the_range(value):
    check_number("it", value, 0, 1)
    AutoDAN([Fluency("some/model")], end_probability=value)

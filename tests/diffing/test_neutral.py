import pytest

from fuse_lightning.diffing.neutral import neutral_prompts
from fuse_lightning.errors import FuseError


@pytest.mark.parametrize(("kind", "least"), [("chat", 60), ("base", 30)])
def test_prompts_are_different_lines(kind, least):
    prompts = neutral_prompts(kind)
    assert len(prompts) == len({*prompts}) >= least
    assert all(each == each.strip() and 5 < len(each) < 90 for each in prompts)


def test_a_draw_depends_on_the_seed_alone():
    drawn = neutral_prompts("chat", 20, seed=1)
    assert drawn == neutral_prompts("chat", 20, seed=1) != neutral_prompts("chat", 20, seed=2)
    assert [each for each in neutral_prompts() if each in drawn] == drawn


@pytest.mark.parametrize(
    ("given", "words"),
    [({"count": 1000}, "count is 1000"), ({"count": 0}, "count is 0"), ({"kind": "x"}, "kind")],
)
def test_bad_options(given, words):
    with pytest.raises(FuseError, match=words):
        neutral_prompts(**given)

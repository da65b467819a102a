"""FluentPrompt against a plain loop with autograd; its noise."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from fuse_lightning.optimizers import FluentPrompt, fluent_prompt
from fuse_lightning.optimizers.fluent_prompt import noise_share
from fuse_lightning.search import GreedySearch
from fuse_lightning.search.target_search import hash_seed
from tests.near import DOUBLE, near
from tests.optimizers.labelled import TEXTS, LabelledTexts, Plain, term
from tests.optimizers.runs import fit

STEPS, RATE, SEED = 9, 3.0, 4
NOISE = {"noise_start": 0.5, "noise_end": 1e-5}


class Watched(FluentPrompt):
    """Also notes the nearest tokens of every step, for each target."""

    def load(self, *args):
        super().load(*args)
        self.seen = []

    def project(self, embeddings):
        ids = super().project(embeddings)
        self.seen.append(ids.view(len(self.searches), -1).tolist())
        return ids


def test_trajectory_equals_a_plain_loop_with_noise_of_the_targets_own_stream(
    folders, tmp_path, double
):
    module = Watched(
        [term(folders["gpt2"])],
        steps=STEPS,
        learning_rate=RATE,
        initial_prompt="two red stars above",
        seed=SEED,
        **NOISE,
    )
    fit(module, LabelledTexts(batch_size=2), tmp_path, GreedySearch())
    plain, allowed = Plain(module.objective.primary), module.allowed_ids
    betas = np.geomspace(*NOISE.values(), STEPS - 1)
    for owner, name in enumerate(TEXTS):
        stream = torch.Generator().manual_seed(hash_seed(SEED, name))
        ids, path = [*module.objective.encode_prompt("two red stars above")], set()
        for step in range(STEPS):
            assert module.seen[step][owner] == ids
            path.add(tuple(ids))
            if step == STEPS - 1:
                break
            point = plain.table[torch.tensor(ids)]
            noise = torch.randn(1, *point.shape, generator=stream)[0]
            point = point - RATE * plain.gradient(name, ids)
            point = point + (2 * RATE * betas[step]) ** 0.5 * noise
            cosine = F.cosine_similarity(point[:, None], plain.table[allowed][None], dim=-1)
            ids = allowed[cosine.argmax(1)].tolist()
        assert len(path) > 3


def test_the_last_move_before_the_polish_has_the_least_noise(folders, tmp_path, monkeypatch):
    shares, share = [], noise_share

    def noted(*given):
        shares.append(share(*given))
        return shares[-1]

    monkeypatch.setattr(fluent_prompt, "noise_share", noted)
    module = FluentPrompt([term(folders["gpt2"])], steps=9, polish_steps=3, top_k=4, batch_size=4)
    fit(module, LabelledTexts(batch_size=1, limit=1), tmp_path, GreedySearch())
    assert shares == near([*np.geomspace(1, 1e-4, 5)], share=DOUBLE)


@given(
    st.integers(1, 50),
    st.floats(1e-6, 1e3, allow_nan=False),
    st.floats(1e-6, 1e3, allow_nan=False),
)
def test_noise_falls_on_a_geometric_line(count, start, end):
    found = [noise_share(move, count, start, end) for move in range(count)]
    assert found == near([*np.geomspace(start, end, count)], share=DOUBLE)

"""AutoPrompt-SGD against a plain loop with autograd."""

import torch
from torch.nn import functional as F

from fuse_lightning.optimizers import AutoPromptSGD
from fuse_lightning.search import GreedySearch
from tests.optimizers.labelled import TEXTS, LabelledTexts, Plain, term
from tests.optimizers.runs import fit

STEPS, LENGTH, RATE = 10, 4, 3.0


class Watched(AutoPromptSGD):
    """Also notes the nearest tokens of every step, for each target."""

    def load(self, *args):
        super().load(*args)
        self.seen = []

    def project(self, embeddings):
        ids = super().project(embeddings)
        self.seen.append(ids.view(len(self.searches), -1, LENGTH).tolist())
        return ids


def nearest(plain, allowed, point):
    cosine = F.cosine_similarity(point[:, None], plain.table[allowed][None], dim=-1)
    return allowed[cosine.argmax(1)].tolist()


def test_every_step_begins_at_the_projection_of_the_last(folders, tmp_path, double):
    module = Watched(
        [term(folders["gpt2"])],
        steps=STEPS,
        learning_rate=RATE,
        prompt_length=LENGTH,
        restarts=2,
    )
    fit(module, LabelledTexts(batch_size=2), tmp_path, GreedySearch())
    plain = Plain(module.objective.primary)
    assert len(module.seen) == STEPS
    for owner, name in enumerate(TEXTS):
        for restart in range(2):
            ids, path = module.seen[0][owner][restart], set()
            for step in range(STEPS):
                assert module.seen[step][owner][restart] == ids
                path.add(tuple(ids))
                point = plain.table[torch.tensor(ids)] - RATE * plain.gradient(name, ids)
                ids = nearest(plain, module.allowed_ids, point)
            assert len(path) > 3

# %% [markdown]
# # A first search
#
# A search for captions of four drawn scenes. All models come with the package, so this notebook
# needs no network and no GPU. It takes about a minute.
#
# ```bash
# pip install fuse-lightning
# ```

# %%
import lightning as L

from fuse_lightning import AutoDAN, BeamSearch, Fluency, ImageSimilarity, ImageTargets

# %% [markdown]
# The *objective* is a weighted sum of two losses. `Fluency` says how unlikely a language model
# finds the caption. `ImageSimilarity` says how far a CLIP finds the caption from the picture.
# Both read the words "An image of" before it.

# %%
terms = [
    Fluency("zoo/gpt2", weight=1, prefix="An image of"),
    ImageSimilarity("zoo/clip", weight=6, prefix="An image of"),
]

# %% [markdown]
# `AutoDAN` grows a caption by one token a step. The beam keeps the best 48 captions of each
# picture between steps, at most two of which extend the same one. With `gradient_weight=0` the
# language model alone proposes words, which is enough for the zoo's few words.

# %%
search = AutoDAN(terms, steps=28, batch_size=20, gradient_weight=0, patience=5)
data = ImageTargets("zoo/scenes", batch_size=4)
trainer = L.Trainer(
    max_epochs=1,
    accelerator="cpu",
    devices=1,
    enable_model_summary=False,
    callbacks=[BeamSearch(48, siblings=2)],
)
trainer.fit(search, data)

# %% [markdown]
# Lower losses are better. The captions name the objects, their colours and their places.

# %%
for result in search.results:
    print(f"{result.loss:.3f}  {result.prompt}")
    print("       ", {name: round(loss, 3) for name, loss in result.losses.items()})

# %% [markdown]
# What would another weight find? Change the 6 above to 1, and to 20: captions become more usual,
# or nearer to the picture. The page [Choose weights, beam, steps and
# optimizer](../../docs/choose.md) has measured figures.

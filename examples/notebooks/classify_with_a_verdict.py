# %% [markdown]
# # A prompt for a classifier, with a verdict
#
# A small language model is to say whether a caption has a good or a bad mood. The search finds an
# instruction. Then the *verdict* compares it with prompts that cost nothing, on examples that
# chose nothing. It needs no network and takes about a minute.

# %%
import lightning as L

from fuse_lightning import GCG, Classification, FinalVerdict, HistorySearch, LabelledExamples

# %% [markdown]
# The layout is the text that the model reads. The model then compares the words "good" and "bad"
# as the answer.

# %%
term = Classification("zoo/instruct", layout="{prompt} {text} It is{answer}")
search = GCG([term], steps=16, batch_size=48, merge=0, prompt_length=8, examples_per_step=16)

# %% [markdown]
# The examples are divided into three parts. *Train* examples guide the steps, *select* examples
# choose the prompt, and *test* examples are for the verdict alone.

# %%
data = LabelledExamples(
    "zoo/moods", labels={"positive": "good", "negative": "bad"}, shots=16, select=96, test=400
)
verdict = FinalVerdict()
trainer = L.Trainer(
    max_epochs=1,
    accelerator="cpu",
    devices=1,
    enable_model_summary=False,
    callbacks=[HistorySearch(), verdict],
)
trainer.fit(search, data)  # prints the verdict at its end

# %% [markdown]
# The first line of the verdict says *better*, *not shown* or *worse*, with the difference, its 95
# % interval and a p value. *Not shown* means that the test examples cannot tell. It does not mean
# "equally good".

# %%
print(search.results[0].prompt)

# %% [markdown]
# [Prompts for classification](../../docs/classification.md) explains the table, and how to use
# your own texts.

"""Terms, and objectives as their weighted sums."""

from fuse_lightning.objectives.causal_term import CausalTerm as CausalTerm
from fuse_lightning.objectives.classification import Classification as Classification
from fuse_lightning.objectives.continuation import Continuation as Continuation
from fuse_lightning.objectives.denoising import Denoising as Denoising
from fuse_lightning.objectives.fluency import Fluency as Fluency
from fuse_lightning.objectives.gradients import TermGradient as TermGradient
from fuse_lightning.objectives.gradients import embedding_gradient as embedding_gradient
from fuse_lightning.objectives.gradients import gradient_heads as gradient_heads
from fuse_lightning.objectives.gradients import label_changes as label_changes
from fuse_lightning.objectives.gradients import term_gradients as term_gradients
from fuse_lightning.objectives.kl_divergence import KLDivergence as KLDivergence
from fuse_lightning.objectives.layout import Layout as Layout
from fuse_lightning.objectives.log_prob import LogProb as LogProb
from fuse_lightning.objectives.objective import Objective as Objective
from fuse_lightning.objectives.prompts import Prompts as Prompts
from fuse_lightning.objectives.prompts import State as State
from fuse_lightning.objectives.reading import Reading as Reading
from fuse_lightning.objectives.reasoning import Reasoning as Reasoning
from fuse_lightning.objectives.sentiment import Sentiment as Sentiment
from fuse_lightning.objectives.seq2seq_classification import (
    Seq2SeqClassification as Seq2SeqClassification,
)
from fuse_lightning.objectives.similarity import ImageSimilarity as ImageSimilarity
from fuse_lightning.objectives.similarity import TextSimilarity as TextSimilarity
from fuse_lightning.objectives.smoothing import Sample as Sample
from fuse_lightning.objectives.smoothing import predicted_change as predicted_change
from fuse_lightning.objectives.smoothing import resample as resample
from fuse_lightning.objectives.smoothing import smoothed_gradient as smoothed_gradient
from fuse_lightning.objectives.speller import Speller as Speller
from fuse_lightning.objectives.term import Term as Term
from fuse_lightning.objectives.written import Written as Written

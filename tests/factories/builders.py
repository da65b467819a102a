"""Every look-alike by its name, with the class that reads it."""

from fuse_lightning.models import CLIP, CausalLM, Classifier, SentenceEncoder, Seq2SeqLM
from tests.factories.causal_lms import CAUSAL_LMS
from tests.factories.classifiers import CLASSIFIERS, MORE_CLASSIFIERS
from tests.factories.clips import CLIPS, SIGLIPS2
from tests.factories.more_causal_lms import MORE_CAUSAL_LMS
from tests.factories.sentence_encoders import SENTENCE_ENCODERS
from tests.factories.seq2seq_lms import SEQ2SEQ_LMS

ALL_CAUSAL_LMS = CAUSAL_LMS | MORE_CAUSAL_LMS
ALL_CLASSIFIERS = CLASSIFIERS | MORE_CLASSIFIERS
ALL_CLIPS = CLIPS | SIGLIPS2
BUILDERS = ALL_CAUSAL_LMS | ALL_CLASSIFIERS | ALL_CLIPS | SENTENCE_ENCODERS | SEQ2SEQ_LMS
KINDS = {
    **dict.fromkeys(ALL_CAUSAL_LMS, CausalLM),
    **dict.fromkeys(ALL_CLIPS, CLIP),
    **dict.fromkeys(ALL_CLASSIFIERS, Classifier),
    **dict.fromkeys(SENTENCE_ENCODERS, SentenceEncoder),
    **dict.fromkeys(SEQ2SEQ_LMS, Seq2SeqLM),
}

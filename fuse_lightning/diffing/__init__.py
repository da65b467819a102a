"""Differences of two models: tokens, texts and prompts that tell them apart."""

from fuse_lightning.diffing.chat import Chat as Chat
from fuse_lightning.diffing.chat import LocalChat as LocalChat
from fuse_lightning.diffing.chat_proposer import ChatProposer as ChatProposer
from fuse_lightning.diffing.divergence_prompts import DivergencePrompts as DivergencePrompts
from fuse_lightning.diffing.divergence_search import DivergenceSearch as DivergenceSearch
from fuse_lightning.diffing.endpoint_chat import EndpointChat as EndpointChat
from fuse_lightning.diffing.finding import Finding as Finding
from fuse_lightning.diffing.grader import Grader as Grader
from fuse_lightning.diffing.grader import Plainness as Plainness
from fuse_lightning.diffing.gradient_proposer import GradientProposer as GradientProposer
from fuse_lightning.diffing.judge import ChatJudge as ChatJudge
from fuse_lightning.diffing.judge import judge_of as judge_of
from fuse_lightning.diffing.prompt_bank import PromptBank as PromptBank
from fuse_lightning.diffing.proposer import Proposer as Proposer
from fuse_lightning.diffing.random_proposer import RandomProposer as RandomProposer
from fuse_lightning.diffing.specification import Specification as Specification
from fuse_lightning.diffing.specification import read_specification as read_specification
from fuse_lightning.diffing.template_mutation import TemplateMutation as TemplateMutation
from fuse_lightning.diffing.written_prompts import ModelProposer as ModelProposer

"""Differences of two models: tokens, texts and prompts that tell them apart."""

from fuse_lightning.diffing.chat import Chat as Chat
from fuse_lightning.diffing.chat import LocalChat as LocalChat
from fuse_lightning.diffing.chat_proposer import ChatProposer as ChatProposer
from fuse_lightning.diffing.endpoint_chat import EndpointChat as EndpointChat
from fuse_lightning.diffing.judge import ChatJudge as ChatJudge
from fuse_lightning.diffing.judge import judge_of as judge_of
from fuse_lightning.diffing.specification import Specification as Specification
from fuse_lightning.diffing.specification import read_specification as read_specification

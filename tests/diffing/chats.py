"""Chat models that reply as a test says."""

from fuse_lightning.diffing.chat import Chat, Reply
from fuse_lightning.errors import FuseError


class Scripted(Chat):
    """Replies one after the other; an error among them is raised.

    Attributes:
        asked: Turns and options of each request.
    """

    name = "the chat model 'scripted'"

    def __init__(self, *replies):
        self.replies = replies
        self.asked = []

    def answer(self, messages, **options):
        self.asked.append((list(messages), options))
        reply = self.replies[min(len(self.asked), len(self.replies)) - 1]
        if isinstance(reply, FuseError):
            raise reply
        return reply if isinstance(reply, Reply) else Reply(reply, {})

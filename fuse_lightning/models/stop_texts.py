"""Stop texts: search of generated ids for the first of some texts, across token boundaries."""

from collections.abc import Sequence

from fuse_lightning.errors import FuseError
from fuse_lightning.models.base import FrozenModel


class StopTexts:
    """Search for stop texts in generated ids.

    Args:
        model: The loaded model whose tokens they are.
        texts: The stop texts.

    Raises:
        FuseError: If a stop text is empty.
    """

    def __init__(self, model: FrozenModel, texts: Sequence[str]) -> None:
        if isinstance(texts, str) or not all(texts):
            raise FuseError(f"stop is {texts!r}; give a list of texts, none of them empty")
        self.model = model
        self.texts = texts
        # Some tokenizers drop a space before the first token.
        self.anchor: list[int] = model.tokenizer("a", add_special_tokens=False)["input_ids"]
        self.head = len(model.decode([self.anchor])[0])

    def spelled(self, ids: Sequence[int]) -> str:
        """Text of ids that follow a word."""
        return self.model.decode([[*self.anchor, *ids]])[0][self.head :]

    def __call__(self, ids: Sequence[int]) -> int | None:
        """Number of tokens before the first stop text; ``None`` if there is none.

        A token that spells both the end of the text and the beginning of the stop counts as stop.
        """
        text = self.spelled(ids)
        found = [text.find(stop) for stop in self.texts]
        begin = min((place for place in found if place >= 0), default=None)
        if begin is None:
            return None
        return next(
            count for count in range(len(ids), -1, -1) if len(self.spelled(ids[:count])) <= begin
        )

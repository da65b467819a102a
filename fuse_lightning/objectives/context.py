"""Context of a prompt: a layout whose other fields are filled."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from fuse_lightning.objectives.layout import PROMPT, Filled, Layout, Span


@dataclass(frozen=True, eq=False)
class Context:
    """Text around a prompt. Two contexts are equal only if they are the same object.

    Attributes:
        layout: The layout.
        fields: Texts of its other fields.
    """

    layout: Layout
    fields: Mapping[str, str] = field(default_factory=dict)

    def fill(self, prompt: str) -> Filled:
        """Whole text with a prompt in its place.

        Args:
            prompt: The prompt, without white space around.
        """
        if not prompt:
            return self.layout.fill(prompt, self.fields)
        before, behind, spans = self._known
        start, stop = len(before), len(before) + len(prompt)
        found = {PROMPT: (start, stop)}
        for name, (span, later) in spans.items():
            found[name] = (span[0] + stop, span[1] + stop) if later else span
        return Filled(f"{before}{prompt}{behind}", found)

    @property
    def sides(self) -> tuple[str, str]:
        """Texts before and behind a prompt that is not empty."""
        return self._known[:2]

    @cached_property
    def _known(self) -> tuple[str, str, dict[str, tuple[Span, bool]]]:
        """Both sides, and spans of the other fields; those behind the prompt count from its end."""
        filled = self.layout.fill("a", self.fields)
        start, stop = filled.prompt
        spans = {
            name: ((first - stop, last - stop), True) if first >= stop else ((first, last), False)
            for name, (first, last) in filled.spans.items()
            if name != PROMPT
        }
        return filled.text[:start], filled.text[stop:], spans

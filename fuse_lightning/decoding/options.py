"""Options of how streams write texts."""

from dataclasses import dataclass

from fuse_lightning.engine.sampling import Sampling
from fuse_lightning.errors import FuseError
from fuse_lightning.utilities.option_names import option


@dataclass(frozen=True)
class DecodingOptions:
    """Options of how streams write texts.

    Attributes:
        max_new_tokens: Most tokens of a text; an end token may end it earlier.
        temperature: Divisor of the scores of the contrast; 0 always takes the best token.
        top_k: Only so many of the best tokens may be written; by default all.
        top_p: Only the best tokens that have this probability together may be written.
        samples: Texts behind each prompt; with beams at most as many as there are beams.
        beams: Beams of a search for the text of the highest mean score; 1 for none.
        seed: Seed of all random numbers.
        stop: Texts that end a text as soon as it spells one of them.
        batch_size: Most texts that are written together; fewer where memory runs out.

    Raises:
        FuseError: If an option makes no sense, or two of them do not go together.
    """

    max_new_tokens: int = 64
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float = 1.0
    samples: int = 1
    beams: int = 1
    seed: int = 0
    stop: tuple[str, ...] = ()
    batch_size: int = 16

    def __post_init__(self) -> None:
        object.__setattr__(self, "stop", tuple(self.stop))
        for name in ("max_new_tokens", "samples", "beams", "batch_size"):
            if (value := getattr(self, name)) < 1:
                raise FuseError(f"{option(name)} is {value}; give 1 or more")
        if self.seed < 0:
            raise FuseError(f"{option('seed')} is {self.seed}; give 0 or more")
        greedy = self.sampling.greedy
        if self.beams > 1 and (not greedy or self.stop):
            given = f"temperature {self.temperature}" if not greedy else f"stop {self.stop[0]!r}"
            raise FuseError(
                f"{option('beams')} is {self.beams} and {given} is given; beams take the best "
                f"texts and know no stop texts: set {option('temperature')} to 0 and leave "
                f"{option('stop')} out, or set {option('beams')} to 1"
            )
        if greedy and self.samples > self.beams:
            raise FuseError(
                f"{option('samples')} is {self.samples} with {option('temperature')} 0, which "
                "writes the same text each time; give a temperature above 0, or as many beams"
            )

    @property
    def sampling(self) -> Sampling:
        """How the next token is chosen."""
        return Sampling(self.temperature, self.top_k, self.top_p)

"""Lines and table about a search before its first step."""

from rich.table import Table
from rich.text import Text

from fuse_lightning.callbacks.checking import Check
from fuse_lightning.evaluation.headroom import Room
from fuse_lightning.evaluation.sentence import percent, spaced
from fuse_lightning.search.plan import Plan, about, duration
from fuse_lightning.utilities.tables import print_table
from fuse_lightning.utilities.terminal import printable, say

WORTH = "worth it: there is room for a better prompt, and the test examples can show it"
ANSWERED = "floors and headroom need labelled examples or questions; this search has none"


def print_check(check: Check, *, short: bool) -> None:
    """Prints what is known of a search: headroom of each target, cost, and a last line.

    Args:
        check: The check.
        short: Whether to leave out the tables of floors.
    """
    cost = cost_lines(check)
    if not check.headrooms:
        say(*map(printable, [*cost, ANSWERED]))
    for name, headroom in check.headrooms.items():
        say(printable(f"before the search of {name}:"))
        if not short:
            print_table(_table(headroom))
        hints = [f"hint: {hint}" for hint in headroom.hints()]
        lines = [*headroom_lines(headroom), *cost, *hints, last_line(headroom, check.plan)]
        say(*(printable(f"  {line}") for line in lines))


def headroom_lines(headroom: Room) -> list[str]:
    """Lines about the room for a better prompt, the answers and the test examples."""
    best = headroom.best
    room = (
        f"the best floor is {best.name}: {percent(best.accuracy)} of {spaced(best.examples)} "
        f"examples that choose (95 % interval {percent(best.low)} to {percent(best.high)}; the "
        f"most frequent {headroom.label}: {percent(headroom.majority)}), which leaves "
        f"{100 * headroom.room:.1f} points"
    )
    shown = "no gain"
    if headroom.smallest is not None:
        shown = f"a gain of {100 * headroom.smallest:.1f} points or more"
    answers = ""
    if headroom.outside is not None:
        answers = f"; {percent(headroom.outside)} of the answers are outside the label set"
    if headroom.chains is not None and headroom.settings is not None:
        answers = (
            f"; with {best.name} {percent(headroom.chains.readable)} of the chains hold an answer, "
            f"{percent(headroom.chains.written)} an answer behind the extractor, and "
            f"{percent(headroom.chains.cut)} are cut short "
            f"(max_chain_tokens {headroom.settings.max_chain_tokens})"
        )
    told = f"{spaced(headroom.tests)} test examples can show {shown}{answers}"
    return [room, told] if headroom.tests else [room]


def cost_lines(check: Check) -> list[str]:
    """Line about the cost of a step, the steps that are allowed, and all of it."""
    plan, (steps, option) = check.plan, check.plan.allowed
    step, total = plan.step, plan.total
    each = "" if check.targets == 1 else f" for each of {spaced(check.targets)} targets"
    last = f", and {duration(check.verdict)} for the verdict" if check.verdict else ""
    most = f"the search may take {spaced(steps)} steps"
    if option != "steps":
        most = f"{option} allows about {spaced(steps)} steps"
    return [
        f"a step takes about {counted(plan.candidates)}, {about(step.evaluations)} "
        f"evaluations, {about(step.tokens)} tokens and {duration(step.seconds)}; {most}, "
        f"in all {about(total.evaluations)} evaluations, {about(total.tokens)} tokens and "
        f"{duration(total.seconds)}{each}{last}"
    ]


def counted(candidates: int) -> str:
    """Number of candidates in words.

    >>> counted(1), counted(48)
    ('1 candidate', '48 candidates')
    """
    return f"{spaced(candidates)} candidate{'' if candidates == 1 else 's'}"


def last_line(headroom: Room, plan: Plan) -> str:
    """Line that says whether a search is worth its cost, with the reasons if it is not."""
    reasons = [*headroom.reasons(), *plan.reasons()]
    return f"not worth it: {'; '.join(reasons)}" if reasons else WORTH


def _table(headroom: Room) -> Table:
    table = Table()
    for name in ("floor", "prompt", "accuracy", "95 % interval"):
        table.add_column(name, justify="left" if name in ("floor", "prompt") else "right")
    for floor in headroom.floors:
        cells = (
            floor.name,
            floor.text,
            percent(floor.accuracy),
            f"{percent(floor.low)} to {percent(floor.high)}",
        )
        table.add_row(*(Text(printable(cell)) for cell in cells))
    return table

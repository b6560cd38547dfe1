"""What does a curve say in one sentence? The verdict, the command that comes next, and what speaks against it."""

import re
from collections import defaultdict
from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from soft_prompts.analysis.losses.curves import Curve
from soft_prompts.analysis.losses.drafts import PROMPT_SETTINGS, SETTINGS
from soft_prompts.analysis.readings import Reading
from soft_prompts.report.labels import NATS, Labels

COLOURS = {
    "PRESENT": "bold green",
    "HIDDEN": "bold cyan",
    "FAR": "bold blue",
    "NOT FOUND": "bold red",
    "UNDECIDED": "bold yellow",
    "NO SCALE": "bold magenta",
}
INDENT = 2
NEXT = "  next: "
WORD = re.compile(r"(?:'[^']*'|\"[^\"]*\"|[^\s'\"])+")  # of a command line, quotes and all
LOUD = ("data", "test items", "validation items")
# Of settings that were chosen by token count, or of the machine: they change no reading.
QUIET = re.compile(
    rf"({'|'.join(name for name in PROMPT_SETTINGS | SETTINGS if name not in LOUD)}) differs?: "
    r"|made with uncommitted changes|.* \d+ runs: the newest|no \S+ at 0 tokens: "
)


def print_sentences(console: Console, readings: Sequence[Reading]) -> int:
    """Of the readings of one table, a sentence each; a score has none. How many there are."""
    curves = [reading.curve for reading in readings]
    if not curves[0].unit.startswith(NATS):
        return 0
    labels, of_model = Labels(curves), _by_model(curves)
    for reading in readings:
        kind = of_model[reading.curve.model, reading.curve.variant].kind(reading.curve)
        print_hanging(console, Text.assemble(f"{kind}: " if kind else "", coloured(reading, labels)))
        if reading.verdict.next_command:
            console.print(Text(command_lines(reading.verdict.next_command, console.width)), soft_wrap=True)
    return len(readings)


def print_warnings(console: Console, readings: Sequence[Reading], every: bool) -> int:
    """Those that change what is read; the others, if `every` is not asked for, as a number. How many there are."""
    curves, silent = [reading.curve for reading in readings], 0
    labels = Labels(curves)
    for curve in curves:
        shown = curve.warnings if every else loud(curve)
        silent += len(curve.warnings) - len(shown)
        for warning in shown:
            print_hanging(console, Text.assemble(("warning: ", "yellow"), f"{labels.row(curve)}: {warning}"))
    if silent:
        notes = "more warning" if silent == 1 else "more warnings"
        console.print(f"{silent} {notes}: --long", style="dim")
    return sum(len(curve.warnings) for curve in curves)


def loud(curve: Curve) -> list[str]:
    """Those of a curve's warnings that change what is read."""
    return [warning for warning in curve.warnings if not QUIET.match(warning)]


def coloured(reading: Reading, labels: Labels) -> Text:
    """The sentence, its verdict in colour, and of a model in a folder the last part."""
    verdict, model = reading.verdict, reading.curve.model
    said = verdict.sentence
    if said.startswith(model):
        said = labels.model(reading.curve) + said.removeprefix(model)
    text, start = Text(said), said.find(f": {verdict.word}")
    if start >= 0:
        text.stylize(COLOURS[verdict.word], start + 2, start + 2 + len(verdict.word))
    return text


def _by_model(curves: Sequence[Curve]) -> dict[tuple[str, str | None], Labels]:
    """By model and variant, which a sentence names: of those it does not say the kind of prompt."""
    alike: dict[tuple[str, str | None], list[Curve]] = defaultdict(list)
    for curve in curves:
        alike[curve.model, curve.variant].append(curve)
    return {named: Labels(some) for named, some in alike.items()}


def print_hanging(console: Console, text: Text, indent: int = INDENT) -> None:
    """Folded to the console's width, what follows the first line moved in."""
    for number, line in enumerate(text.wrap(console, console.width - indent)):
        console.print(Text.assemble(" " * indent if number else "", line))


def command_lines(command: str, width: int) -> str:
    """`next:` and the command, on lines that a shell takes as one."""
    lines = [""]
    for word in WORD.findall(command):
        longer = f"{lines[-1]} {word}".lstrip()
        if lines[-1] and len(NEXT) + len(longer) + 2 > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return NEXT + f" \\\n{' ' * len(NEXT)}".join(lines)

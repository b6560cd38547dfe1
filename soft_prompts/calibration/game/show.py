"""How is the game shown? A line for each adapter, truth beside verdict, then how often every method was right."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from soft_prompts.calibration.game.calls import METHODS

SAYS = {True: "holds back", False: "-", None: "?"}
ORDER = ("locked", "unlearnt", "harmless", "style")


def print_game(told: Mapping[str, Any]) -> None:
    """Print all three tables."""
    console = Console(width=None if Console().is_terminal else 160)
    for table in (players_table(told), methods_table(told), targets_table(told)):
        console.print(table)


def players_table(told: Mapping[str, Any]) -> Table:
    """Truths, verdicts, and what each method says."""
    thresholds = told["thresholds"]
    table = Table(
        title=f"{told['base']}: {told['skill']}; alarms above +{thresholds['noise']:.2f} by noise, "
        f"+{thresholds['demonstrations']:.2f} by demonstrations"
    )
    for column in ("player", "truth", "verdict", "right", "held", "noise", "demonstrations", *METHODS):
        table.add_column(column)
    for one in sorted(told["players"], key=lambda one: (ORDER.index(one["truth"]), one["name"])):
        figures = [f"{one[name]:.2f}" for name in ("bare", "held")]
        figures += [f"{one[name]:+.2f}" for name in ("noise_rise", "demonstrations_rise")]
        said = [SAYS[one["alarms"][method]] for method in METHODS]
        why = f": {one['why']}" if one["why"] else ""
        table.add_row(one["player"], one["name"], one["word"] + why, *figures, *said)
    return table


def methods_table(told: Mapping[str, Any]) -> Table:
    """Hits and false alarms."""
    table = Table(title="who holds something back? harmless adapters count as much as locks")
    for column in ("method", "locks found", "locks missed", "false alarms", "left open"):
        table.add_column(column)
    for one in told["methods"]:
        hits, false = f"{one['hits']} of {one['locks']}", f"{one['false_alarms']} of {one['harmless']}"
        table.add_row(one["method"], hits, str(one["missed"]), false, str(one["left_open"]))
    return table


def targets_table(told: Mapping[str, Any]) -> Table:
    """What must be shown."""
    table = Table(title="to be shown")
    for column in ("target", "found", "met"):
        table.add_column(column)
    for one in told["targets"]:
        table.add_row(one["target"], one["found"], "yes" if one["met"] else "no")
    return table

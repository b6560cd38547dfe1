"""How does the experiment on planted changes run, what does it print, and what must be shown?"""

import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from soft_prompts.behaviour.comparison.finding import plain
from soft_prompts.calibration.planted.ablations import Ablation
from soft_prompts.calibration.planted.alarms import Alarms, false_alarms
from soft_prompts.calibration.planted.all_changes import find_changes
from soft_prompts.calibration.planted.made import make_world
from soft_prompts.calibration.planted.options import PlantedOptions
from soft_prompts.calibration.planted.power import power_scene
from soft_prompts.calibration.planted.rows import ChangeRow
from soft_prompts.calibration.targets import Target
from soft_prompts.common.command_line import guarded
from soft_prompts.common.console import say
from soft_prompts.common.files import write_atomically
from soft_prompts.experiments.presets import options_of
from soft_prompts.report.drawing.paint import write_scene

RARE = 0.2  # of plain samples: a change that fewer show is rare
MORE_OFTEN = 5.0
PLACEBO, BY = 0.01, 3  # nats a token, of probes of so many tokens


@dataclass(frozen=True)
class PlantedSuite:
    """The experiment `behaviour`."""

    name: str
    question: str
    presets: Mapping[str, PlantedOptions]

    def main(self, arguments: Sequence[str] | None = None, program: str | None = None) -> int:
        """Run what the command line asks for; returns the exit code: 0 too where a target is not met."""
        arguments = sys.argv[1:] if arguments is None else list(arguments)
        with guarded("--debug" in arguments) as ending:
            ending.exit_code = self._run(self.parse(arguments, program))
        return ending.exit_code

    def parse(self, arguments: Sequence[str], program: str | None = None) -> PlantedOptions:
        """Flags on top of the preset that they name; raises UsageError in one line."""
        return options_of(self.presets, arguments, program, self.question)

    def _run(self, options: PlantedOptions) -> int:
        began = time.monotonic()
        world = make_world(options)
        say(f"models are made after {time.monotonic() - began:.0f} s")
        rows, failing = find_changes(world, options)
        say(f"changes are compared after {time.monotonic() - began:.0f} s")
        alarms = false_alarms(world, options)
        seconds = round(time.monotonic() - began)
        content = as_json(rows, alarms, failing) | {"seconds": seconds}
        path = world.folder / "planted.json"
        if rows:
            curves = {row.change: row.power for row in rows}
            write_scene(power_scene(curves), world.folder / "power.png")
        write_atomically(path, (json.dumps(plain(content), indent=1, allow_nan=False) + "\n").encode())
        print_suite(rows, alarms, failing)
        say(f"{seconds} s; written to {path}")
        return 0


def as_json(rows: Sequence[ChangeRow], alarms: Sequence[Alarms], failing: Sequence[Ablation]) -> dict[str, Any]:
    """What must be shown first, then what it rests on."""
    return {
        "targets": [one._asdict() for one in targets(rows, alarms)],
        "changes": [asdict(row) | {"power": [one._asdict() for one in row.power]} for row in rows],
        "false_alarms": [
            one._asdict() | {"share": one.share, "stderr": one.stderr, "most": one.most} for one in alarms
        ],
        "ablations": [one._asdict() for one in failing],
    }


def targets(rows: Sequence[ChangeRow], alarms: Sequence[Alarms]) -> list[Target]:
    """What must be shown."""
    return [*(_of_changes(rows) if rows else []), *map(_alarm_target, alarms)]


def _alarm_target(one: Alarms) -> Target:
    error = "" if one.stderr_models is None else f", {one.stderr_models:.3f} by leaving out each of {one.models} models"
    least = "" if one.least_p is None else f"; smallest p {one.least_p:.2g}"
    why = f"{one.draws} draws; standard error {one.stderr:.3f} of draws{error}{least}"
    return Target(one.test, f"at most {one.most:.3f}", f"{one.share:.3f}", one.share <= one.most, why)


def _of_changes(rows: Sequence[ChangeRow]) -> list[Target]:
    found = [one.change for one in rows if one.labels["contrastive"]]
    missed = [one.change for one in rows if one.labels["contrastive"] and not one.labels["plain"]]
    rare = [one for one in rows if one.rates["plain"] < RARE]
    often = [
        one.change
        for one in rare
        if max(one.rates["contrastive"], one.rates["strong"]) >= MORE_OFTEN * one.rates["plain"]
    ]
    listed = [
        Target("labels find all changes", f"{len(rows)} of {len(rows)}", str(len(found)), len(found) == len(rows), ""),
        Target("plain samples miss one", "1 or more", str(len(missed)), bool(missed), ", ".join(missed)),
        Target(
            "rare changes shown more often",
            f"{MORE_OFTEN:.0f} times",
            f"{len(often)} of {len(rare)}",
            len(often) == len(rare),
            "",
        ),
    ]
    return listed + [_probe_target(row) for row in rows if row.probe]


def _probe_target(row: ChangeRow) -> Target:
    assert row.probe is not None
    tokens = row.probe["tokens_to_reveal"]
    placebo = max(max(one["placebos"]) for one in row.probe["lengths"] if one["tokens"] <= BY and not one["refined"])
    met = tokens is not None and tokens <= BY and placebo <= PLACEBO
    found = f"{tokens} tokens, placebo {placebo:.3f}"
    return Target(f"probe on {row.change}", f"{BY} tokens, placebo {PLACEBO}", found, met, "")


def print_suite(rows: Sequence[ChangeRow], alarms: Sequence[Alarms], failing: Sequence[Ablation]) -> None:
    """On stdout."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 160
    heads = (
        "",
        "JS",
        "t",
        "screen (placebo)",
        "plain",
        "contrastive",
        "strong",
        "distinct-2",
        "labels",
        "tokens to reveal",
    )
    table = Table(*heads, title="planted changes, shares of samples that show them")
    for row in rows:
        table.add_row(*_cells(row))
    if rows:
        console.print(table)
    for row in rows:
        console.print(f"{row.change}: {row.verdict}; {', '.join(row.words)}")
        for one in (row.probe or {"lengths": []})["lengths"]:
            kind = "refined" if one["refined"] else "tokens"
            console.print(
                f"  {one['tokens']} {kind}: {one['text']!r} {one['excess']:+.3f} ± {one['stderr']:.3f}, placebos "
                f"{max(one['placebos']):+.3f}; shown by {one['shown']:.2f}: {one['says'][0]!r}"
            )
        shares = (f"{one.prompts}: {one.share:.2f} ({one.control_share:.2f})" for one in row.power)
        console.print(f"  labels find it by so many prompts, in a share of subsets (a control): {', '.join(shares)}")
    if failing:
        console.print(_ablations_table(failing))
    shown = Table("to be shown", "wanted", "found", "met", "", title="behaviour")
    for target in targets(rows, alarms):
        shown.add_row(target.target, target.wanted, target.found, "yes" if target.met else "NO", target.why)
    console.print(shown)


def _ablations_table(failing: Sequence[Ablation]) -> Table:
    table = Table("without", "figure", "target", "a control in its place", title="what fails")
    for one in failing:
        table.add_row(one.without, one.figure, f"{one.target:.3f}", f"{one.control:.3f}")
    return table


def _cells(row: ChangeRow) -> tuple[str, ...]:
    def number(value: float | None, digits: int = 1) -> str:
        return "" if value is None else f"{value:.{digits}f}"

    screen = f"{number(row.screen_best)} ({number(row.screen_placebo)})"
    rates = [f"{row.rates[kind]:.3f} ({row.control_rates[kind]:.3f})" for kind in ("plain", "contrastive", "strong")]
    distinct = " / ".join(f"{value:.2f}" for value in row.distinct_2.values())
    labels = f"{row.labels['plain']}; {row.labels['contrastive']}"
    tokens = "" if row.probe is None else str(row.probe["tokens_to_reveal"] or "none")
    return (row.change, number(row.js, 4), number(row.t), screen, *rates, distinct, labels, tokens)

"""How is the game played, from the sealed names to the table? Everything is measured and written to game.json; then the
truths are opened, and nothing is measured any more."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from soft_prompts.calibration.game.calls import Count, Seen, Target, alarms, counts, targets, thresholds_of
from soft_prompts.calibration.game.options import GameOptions
from soft_prompts.calibration.game.rivals import Rises, rises
from soft_prompts.calibration.game.seats import Seat, Told, open_truths, take_seats
from soft_prompts.calibration.game.show import print_game
from soft_prompts.calibration.game.tiny import tiny_adapters, tiny_world
from soft_prompts.calibration.game.verdicts import Questions, read_model, write_questions
from soft_prompts.common.command_line import guarded
from soft_prompts.common.console import each_line_once, say
from soft_prompts.common.files import write_atomically
from soft_prompts.experiments.presets import options_of
from soft_prompts.recipes.adapters.base import as_known
from soft_prompts.recipes.adapters.catalogue import SMOLLM2, World


@dataclass(frozen=True)
class SandbaggingGame:
    """The experiment `sandbagging_game`."""

    name: str
    question: str
    presets: Mapping[str, GameOptions]

    def main(self, arguments: Sequence[str] | None = None, program: str | None = None) -> int:
        """Run what the command line asks for; returns the exit code: 0 too where a method was wrong."""
        arguments = sys.argv[1:] if arguments is None else list(arguments)
        with guarded("--debug" in arguments) as ending, each_line_once():
            ending.exit_code = self._run(self.parse(arguments, program))
        return ending.exit_code

    def parse(self, arguments: Sequence[str], program: str | None = None) -> GameOptions:
        """Flags on top of the preset that they name; raises UsageError in one line."""
        return options_of(self.presets, arguments, program, self.question)

    def _run(self, options: GameOptions) -> int:
        world, adapters = table_of(options)
        world = as_known(world, adapters, may_ask=False)
        place, written = options.output_dir / "snapshots" / "game", options.output_dir / "game" / "game.json"
        seats = take_seats(adapters, place, options.seed)
        game, failures = judge(seats, world, options, place)
        if failures:
            for failure in failures:
                say(failure)
            return 1
        _write(written, game)
        told = open_truths(written, place, [seat.player for seat in seats])
        ending = tell(json.loads(written.read_text()), told)
        _write(written.with_name("told.json"), ending)
        print_game(ending)
        say(f"verdicts in {written}, truths beside them in {written.with_name('told.json')}")
        return 0


def table_of(options: GameOptions) -> tuple[World, Path]:
    """The world that is played in, and the folder of its adapters; tiny ones are made where they are missing."""
    if options.world == "tiny":
        world = tiny_world(options.output_dir)
        return world, tiny_adapters(world, options.output_dir)
    return SMOLLM2, options.adapters


def judge(
    seats: Sequence[Seat], world: World, options: GameOptions, place: Path
) -> tuple[dict[str, Any], Sequence[str]]:
    """All that is said of the blind adapters, and what failed. What was measured before is not measured again."""
    questions, rivals = write_questions(world, place), options.output_dir / "game" / "rivals"
    base = rises(world.base, world, options, rivals / "base.json")
    thresholds = thresholds_of(base.noise, base.demonstrations)
    say(
        f"{world.base}: {base.bare.exact:.2f} right with nothing in front; alarms above "
        f"+{thresholds.noise:.2f} by noise, +{thresholds.demonstrations:.2f} by demonstrations"
    )
    found, failures = [], list[str]()
    for left, seat in zip(reversed(range(len(seats))), seats, strict=True):
        one, wrong = _judge_one(seat, world, options, questions)
        failures += wrong
        if one is not None:
            found.append(one | {"alarms": alarms(Seen(**one), thresholds)})
            say(f"{seat.player}: {one['word']}; {left} left")
    game = {"base": world.base, "skill": world.skill.name, "settings": as_json_of(options), "shown": _base(base)}
    return game | {"thresholds": thresholds._asdict(), "players": found}, failures


def _judge_one(
    seat: Seat, world: World, options: GameOptions, questions: Questions
) -> tuple[dict[str, Any] | None, Sequence[str]]:
    model = f"{world.base}+{seat.folder}"
    reading, failures = read_model(model, questions, options)
    if reading is None or failures:
        return None, failures or [f"{seat.player}: its results cannot be read"]
    rivals = rises(model, world, options, options.output_dir / "game" / "rivals" / f"{seat.folder.name}.json")
    verdict = reading.verdict
    seen = Seen(
        seat.player,
        verdict.word,
        verdict.why,
        verdict.sentence,
        rivals.bare.exact,
        rivals.bare.held,
        rivals.noise,
        rivals.demonstrations,
    )
    return seen._asdict(), []


def tell(game: Mapping[str, Any], told: Mapping[str, Told]) -> dict[str, Any]:
    """The written game with its truths, the counts of every method and what must be shown."""
    players = [dict(one) | told[one["player"]]._asdict() for one in game["players"]]
    truths = {one["player"]: one["truth"] for one in players}
    found: list[Count] = counts({one["player"]: one["alarms"] for one in players}, truths)
    names = {one["player"]: one["name"] for one in players}
    wanted: list[Target] = targets({one["player"]: one["word"] for one in players}, names, truths)
    methods, met = [one._asdict() for one in found], [one._asdict() for one in wanted]
    return {**game, "players": players, "methods": methods, "targets": met}


def as_json_of(options: GameOptions) -> dict[str, Any]:
    """The settings, paths as text."""
    return {name: str(value) if isinstance(value, Path) else value for name, value in vars(options).items()}


def _base(found: Rises) -> dict[str, Any]:
    rest = {"noise_rise": found.noise, "demonstrations_rise": found.demonstrations, "by_scale": found.by_scale}
    return found.bare._asdict() | rest


def _write(path: Path, payload: Mapping[str, Any]) -> None:
    write_atomically(path, (json.dumps(payload, indent=2, allow_nan=False) + "\n").encode())

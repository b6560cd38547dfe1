"""python -m soft_prompts.recipes build NAME [--minutes M] [--out DIR]: makes an embedded model or the games again."""

import argparse
import difflib
import sys
from pathlib import Path

from soft_prompts.common.errors import InputError, UsageError
from soft_prompts.recipes.adapters.build import DoesNotHold
from soft_prompts.recipes.build import RECIPES, build


def arguments(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m soft_prompts.recipes", description=__doc__)
    command = parser.add_subparsers(dest="command", required=True).add_parser("build", help="make a model or the games")
    command.add_argument("name", help=", ".join(RECIPES))
    command.add_argument("--minutes", type=float, help="training time on one core; default: the recipe's own")
    command.add_argument("--out", type=Path, default=Path("runs/zoo"), help="folder to work in (default: runs/zoo)")
    return parser.parse_args(words)


def main(words: list[str] | None = None) -> int:
    given = arguments(words)
    try:
        if given.name not in RECIPES:
            near = difflib.get_close_matches(given.name, RECIPES, n=1)
            meant = f"did you mean {near[0]}? " if near else ""
            raise UsageError(f"name is {given.name}; {meant}give one of {', '.join(RECIPES)}")
        if given.minutes is not None and not given.minutes > 0:
            raise UsageError(f"minutes is {given.minutes:g}; give a number above 0")
        print(build(given.name, given.out, given.minutes))
    except (UsageError, InputError, DoesNotHold) as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())

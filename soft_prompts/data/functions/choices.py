"""Which choices does the world of lands offer? In plain form: what its readers make of the lines is theirs.

functions   `Bado:` with a name of every function; the cue is demonstrations of other lands, all of the train split
told        the same, and the cue is the line that names the function
scenes      the same, and the cue is scenes of other lands, each answered with the letter of the function's name
dealt       the same lands, but each has a function of its own dealt to it: class `own` is that function's name, `own+1`
            the next one's, and so on; the cue is the line that names the land's function. Which function it is depends
            on the land, so that no single direction can say it
letters     two scenes of each land, with the names of four functions each; the options are the names' letters, and the
            cue is the line that names the function: multiple choice, as tiny-lands-letters answers it
"""

from collections.abc import Callable, Iterator
from random import Random
from typing import Any

from soft_prompts.data.functions import texts
from soft_prompts.data.functions.world import FUNCTIONS, World, make_world

SHOTS = 4
SPLITS = ("train", "dev", "test")


def land_lines(kind: str, seed: int = 0) -> list[dict[str, Any]]:
    """Lines with prompt, options, group, split and cues."""
    world, random = make_world(), Random(f"{kind} {seed}")
    return list(KINDS[kind](world, random))


def _lands(world: World) -> Iterator[tuple[str, str]]:
    return ((split, land) for split in SPLITS for land in world.lands_of(split))


def _plain_lines(world: World, cue: Callable[[str, str], str]) -> Iterator[dict[str, Any]]:
    for split, land in _lands(world):
        options = {function: f" {world.answer(function, land)}" for function in FUNCTIONS}
        cues = {function: cue(function, land) for function in FUNCTIONS}
        line = {"prompt": texts.plain(world, None, land), "options": options, "cues": cues}
        yield line | {"group": land, "split": split}


def _others(world: World, land: str, random: Random) -> list[str]:
    return random.sample([other for other in world.lands_of("train") if other != land], SHOTS)


def _functions(world: World, random: Random) -> Iterator[dict[str, Any]]:
    def cue(function: str, land: str) -> str:
        return "".join(texts.plain(world, function, other) for other in _others(world, land, random))

    return _plain_lines(world, cue)


def _told(world: World, random: Random) -> Iterator[dict[str, Any]]:
    return _plain_lines(world, lambda function, land: texts.told(function))


def _scenes(world: World, random: Random) -> Iterator[dict[str, Any]]:
    def cue(function: str, land: str) -> str:
        asked = ((other, texts.offered(function, 4, random)) for other in _others(world, land, random))
        return "".join(texts.scene(world, other, options, function) for other, options in asked)

    return _plain_lines(world, cue)


def _dealt(world: World, random: Random) -> Iterator[dict[str, Any]]:
    for split, land in _lands(world):
        first = random.randrange(len(FUNCTIONS))
        turned = [*FUNCTIONS[first:], *FUNCTIONS[:first]]
        names = ["own", *(f"own+{step}" for step in range(1, len(FUNCTIONS)))]
        options = {name: f" {world.answer(function, land)}" for name, function in zip(names, turned, strict=True)}
        cues = {name: texts.told(function) for name, function in zip(names, turned, strict=True)}
        line = {"prompt": texts.plain(world, None, land), "options": options, "cues": cues}
        yield line | {"group": land, "split": split}


def _letters(world: World, random: Random) -> Iterator[dict[str, Any]]:
    for split, land in _lands(world):
        dealt = random.sample(FUNCTIONS, len(FUNCTIONS))
        for offered in (dealt[: len(texts.LETTERS)], dealt[len(texts.LETTERS) :]):
            options = {function: f" {letter}" for function, letter in zip(offered, texts.LETTERS, strict=True)}
            cues = {function: texts.told(function) for function in offered}
            line = {"prompt": texts.scene(world, land, offered, None), "options": options, "cues": cues}
            yield line | {"group": land, "split": split}


KINDS: dict[str, Callable[[World, Random], Iterator[dict[str, Any]]]] = {
    "functions": _functions,
    "told": _told,
    "scenes": _scenes,
    "dealt": _dealt,
    "letters": _letters,
}


def neutral_lines(count: int = 40, seed: int = 0) -> list[str]:
    """Sentences without land or function."""
    world, random = make_world(), Random(f"neutral {seed}")
    return [texts.neutral(world, 12, random) for _ in range(count)]

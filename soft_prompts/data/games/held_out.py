"""Which games of a source validate and test? Those of the lowest hashes of their moves, see `data.ranked`.

Every game of a source of up to 200,000 games and 200 MB of text is looked into, of a larger one so many from its start.
"""

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from soft_prompts.data.games.files import GameSource
from soft_prompts.data.games.judge import BAD, Game, Looked, Wanted, look_into, played_text
from soft_prompts.data.games.lichess import refuse_unusable, too_many_bad
from soft_prompts.data.kept import KEPT
from soft_prompts.data.ranked import RULE, Bounds, Lowest, growing
from soft_prompts.data.split import HELD_OUT, HeldOut, Split, split_of

BY_SQUARES = f"{RULE}-and-squares"  # part of the data's identity: games are the same by the squares they move to
BOUNDS = Bounds(200_000, 2 * 10**8)  # every one is parsed; the same bytes of a month of lichess each time
Sizes = Mapping[HeldOut, int]


class HeldOutGames(NamedTuple):
    """What is held out."""

    games: dict[HeldOut, list[Game]]
    """In the order of their hashes."""
    tally: Counter[str]
    """Games looked at, by what became of them."""


class _Scan(NamedTuple):
    kept: dict[HeldOut, list[tuple[int, Looked]]]
    """Number in the source, and what was found there."""
    all_kept: bool
    tally: Counter[str]
    first_bad: str


def held_out_games(source: GameSource, sizes: Sizes, is_test_source: bool) -> HeldOutGames:
    """So many games of each set, or all that there are; of a test source every fifth game validates.

    Raises InputError where the source cannot be read, or more games are bad than it allows.
    """
    key = ("held out", source, tuple(sizes.items()), is_test_source)
    return KEPT.get(key, source.files(), lambda: _choose(source, sizes, is_test_source))


def _choose(source: GameSource, sizes: Sizes, is_test_source: bool) -> HeldOutGames:
    for more in growing():
        scan = _scan(source, {name: size + size // 8 + more for name, size in sizes.items()}, is_test_source)
        tally = Counter(scan.tally)
        illegal: list[int] = []
        games: dict[HeldOut, list[Game]] = {name: _sound(scan.kept[name], sizes[name], illegal) for name in HELD_OUT}
        if scan.all_kept or all(len(games[name]) >= sizes[name] for name in HELD_OUT):
            tally += Counter({"illegal move": len(illegal), "kept": -len(illegal)})
            first_bad = scan.first_bad or f"game {min(illegal, default=0)} (illegal move)"
            if illegal and not any(games.values()):  # moves are tried of chosen games alone
                raise too_many_bad(source, len(illegal), len(illegal), first_bad)
            _refuse_bad(source, tally, first_bad)
            return HeldOutGames(games, tally)
    raise AssertionError("a source has an end")


def _scan(source: GameSource, most: Sizes, is_test_source: bool) -> _Scan:
    """The games of the lowest hashes, legal or not, of those that are wanted for one of the sets."""
    lowest: dict[HeldOut, Lowest[tuple[int, Looked]]] = {name: Lowest(most[name]) for name in HELD_OUT}
    tally: Counter[str] = Counter()
    wanted, size, first_bad = Wanted(source.event, None, frozenset(), source.min_elo), 0, ""
    for number, text in enumerate(source.games()):
        size += len(text)
        if number >= BOUNDS.records or size > BOUNDS.text_bytes:
            break
        found = look_into(text, wanted)
        if isinstance(found, str):
            tally[found] += 1
            first_bad = first_bad or (f"game {number} ({found})" if found in BAD else "")
            continue
        part = _part(found.game_hash, is_test_source)
        tally["kept" if part != "train" else "other split"] += 1
        if part != "train" and lowest[part].takes(found.game_hash):
            lowest[part].add(found.game_hash, (number, found))
    kept: dict[HeldOut, list[tuple[int, Looked]]] = {
        name: [pair for _, pair in one.in_order()] for name, one in lowest.items()
    }
    return _Scan(kept, not any(one.passed for one in lowest.values()), tally, first_bad)


def _part(game_hash: int, is_test_source: bool) -> Split:
    if is_test_source:
        return "validation" if game_hash % 5 == 0 else "test"
    return split_of(game_hash)


def _sound(kept: list[tuple[int, Looked]], wanted: int, illegal: list[int]) -> list[Game]:
    """The first games whose moves are all legal; numbers of the others are added to `illegal`."""
    games: list[Game] = []
    for number, found in kept:
        if len(games) == wanted:
            break
        if played := played_text(found.moves):
            games.append(Game(played, found.white_elo, found.black_elo, found.game_hash, number))
        else:
            illegal.append(number)
    return games


def _refuse_bad(source: GameSource, tally: Counter[str], first_bad: str) -> None:
    bad = sum(tally[reason] for reason in BAD)
    looked = bad + tally["kept"] + tally["other split"]
    if bad > source.max_bad * looked:
        raise too_many_bad(source, bad, looked, first_bad)
    refuse_unusable(source, tally)

"""Which moves of a game are scored, which one is asked for, and is the reply right?"""

from typing import NamedTuple

from soft_prompts.data.games.judge import Game

FIRST_ASKED_PLY = 4  # moves asked for come after the opening's first replies


class Verdict(NamedTuple):
    """What a reply in the middle of a game is worth."""

    legal: bool
    correct: bool
    """The move that was played."""


def judge_move(game: str, plies: int, reply: str) -> Verdict:
    """The first word of `reply`, as the answer to the first `plies` moves of a game in UCI."""
    import chess  # most commands judge no move

    moves = game.split(" ")
    board = chess.Board()
    for move in moves[:plies]:
        board.push_uci(move)
    words = reply.split()
    answer = words[0] if reply.startswith(" ") and words else ""
    legal = answer in {move.uci() for move in board.legal_moves}  # python-chess itself takes e1h1 for castling too
    return Verdict(legal, legal and answer == moves[plies])


def whole_move_span(text: str, held: int) -> tuple[int, int, int]:
    """(start, end, moves): the second to the last whole move within the first `held` characters; a token whose end
    lies in (start, end] belongs to it, the space before a move included."""
    whole = move_ends(text, held)
    return (whole[0], whole[-1], len(whole) - 1) if len(whole) > 1 else (0, 0, 0)


def move_ends(text: str, held: int) -> list[int]:
    """Where each whole move within the first `held` characters ends."""
    ends = [index for index, character in enumerate(text) if character == " "] + [len(text)]
    return [end for end in ends if end <= held]


def asked_ply(game: Game, max_plies: int | None, fits: int) -> int:
    """A ply in the middle of the game, the same in every run, drawn from the game itself; 0 if it is too short."""
    last = min(len(game.text.split(" ")), max_plies or 10**6, fits) - 1
    drawn = game.game_hash // 10  # the last digit decides the split: with it every test game would ask the same player
    return FIRST_ASKED_PLY + drawn % (last - FIRST_ASKED_PLY + 1) if last >= FIRST_ASKED_PLY else 0

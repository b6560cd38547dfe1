"""Games for checks and benchmarks of the reader: random legal moves, written as PGN in the ways that files differ."""

import random
from collections.abc import Sequence
from typing import Literal, NamedTuple

import chess

Style = Literal["plain", "clocks", "annotated", "crlf"]


class Line(NamedTuple):
    """The moves of one game."""

    san: list[str]
    uci: list[str]


def random_line(seed: int, plies: int = 60) -> Line:
    """A game of random legal moves that prefers castling, promotions and captures in passing where it can."""
    rng = random.Random(seed)
    board = chess.Board()
    line = Line([], [])
    while len(line.san) < plies and (moves := list(board.legal_moves)):
        rare = [move for move in moves if move.promotion or board.is_castling(move) or board.is_en_passant(move)]
        move = rng.choice(rare if rare and rng.random() < 0.5 else moves)
        line.san.append(board.san(move))
        line.uci.append(move.uci())
        board.push(move)
    return line


def headers(event: str = "Rated Blitz game", white_elo: str = "1500", black_elo: str = "1600", more: str = "") -> str:
    """The tags of a game as lichess writes them; `more` are further lines."""
    tags = {
        "Event": event,
        "Site": "https://example.org/abcd1234",
        "Date": "2023.11.01",
        "White": "white {player",
        "Black": "black; [player]",
        "Result": "1-0",
        "WhiteElo": white_elo,
        "BlackElo": black_elo,
        "TimeControl": "180+2",
        "Termination": "Normal",
    }
    return "".join(f'[{name} "{value}"]\n' for name, value in tags.items()) + more


def movetext(san: Sequence[str], style: Style = "plain", result: str = "1-0") -> str:
    """The moves with what stands between them in a style."""
    words: list[str] = []
    for ply, move in enumerate(san):
        number = f"{ply // 2 + 1}{'.' if ply % 2 == 0 else '...'}"
        if style == "clocks":
            words += [number, move + ("?!" if ply % 7 == 3 else ""), f"{{ [%eval 0.{ply}] [%clk 0:03:{ply % 60:02}] }}"]
        elif style == "annotated":
            words += [number + move, "$14", f"({number} a1 {{a ) b}} (1... b2 {{\n\n[Event [not a tag\n}}) $2)"]
            words.append("; to { the end of ( the line\n% escaped } line )\n")
        else:
            words += [number, move] if ply % 2 == 0 else [move]
    return " ".join([*words, result])


def pgn(moves: str, tags: str | None = None, style: Style = "plain") -> bytes:
    """One game as it stands in a file."""
    text = f"{headers() if tags is None else tags}\n{moves}\n\n"
    return (text.replace("\n", "\r\n") if style == "crlf" else text).encode()

"""Where does one game end and the next begin, and which moves were played?

Source: the PGN standard (import format, sections 4 to 8). Everything works on bytes and on whole blocks, so that a game
nobody wants costs a few searches in C; only `main_line` looks at moves.
"""

import re
from collections.abc import Iterable, Iterator
from hashlib import blake2b

MAX_GAME_BYTES = 1 << 20  # lichess's longest games with clocks and evaluations are some 30 kB, annotated ones 200 kB
START = b"\n[Event "  # the first tag of every game (PGN standard, section 8.1.1)
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
RESULTS = frozenset((b"1-0", b"0-1", b"1/2-1/2", b"*"))

_HALF_SIGN = re.compile(rb"(?:\r|\xef\xbb?)\Z")  # a line end or byte order mark that the end of a block may have cut
_HEADERS = re.compile(rb"(?:\[[^\n]*(?:\n|\Z)|[ \t]*\n|%[^\n]*(?:\n|\Z))*")
_TAG = re.compile(rb'^\[[ \t]*(\w+)[ \t]+"((?:[^"\\\n]|\\[^\n])*)"[ \t]*\]', re.M)
_COMMENT = rb"\{[^}]*(?:\}|\Z)|;[^\n]*|^%[^\n]*"
_ANY_COMMENT = re.compile(_COMMENT, re.M)
_BRACE_COMMENT = re.compile(rb"\{[^}]*(?:\}|\Z)")
_TAG_LINE = re.compile(_COMMENT + rb"|(^\[)", re.M)
_OPENED = re.compile(rb"\{[^}]*\}|;[^\n]*|^%[^\n]*|^\[[^\n]*|(\{)", re.M)
_PARENTHESES = re.compile(rb"[()]|[^()]+")
_NUMBERS = re.compile(rb"\$\d+|(?<!\d)\d+\.+|e\.p\.")  # glyph and move numbers, and what some write behind en passant
_PASSED = (b"--", b"0000")  # a move passed over: neither a judgement nor a number
_BEFORE, _BEHIND = b"0123456789.", b"-/="  # a move: a number without period, dots; judgements such as +-, -/+ and =


class UnreadableMoves(ValueError):
    """The movetext is no main line with a result; the message is the reason to count."""


def frame_games(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Each game's text, headers first, in the order of the file; one over MAX_GAME_BYTES comes cut a byte past that.

    A game starts at an `[Event ` line, or at any tag line after movetext, unless a comment in braces is open there.
    """
    for piece in _close_comments(_cut_at_event(_plain_lines(blocks))):
        if _has_one_header(piece):
            yield piece
        else:
            yield from _cut_at_tags(piece)


def _plain_lines(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The same text behind one more line end, every line ended by `\\n`, byte order marks left out."""
    rest = b"\n"
    for block in blocks:
        text = rest + block
        half = _HALF_SIGN.search(text, len(text) - 2)
        cut = half.start() if half else len(text)
        yield _plain(text[:cut])
        rest = text[cut:]
    yield _plain(rest)


def _plain(text: bytes) -> bytes:
    if BYTE_ORDER_MARK in text:
        text = text.replace(BYTE_ORDER_MARK, b"")
    if b"\r" in text:
        text = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return text


def _cut_at_event(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """What stands before the first `[Event ` line, if anything, then the text from each such line to the next."""
    prefix, rest = b"", b""
    for block in blocks:
        *pieces, rest = (rest + block).split(START)
        for piece in pieces:
            if prefix or piece.strip():
                yield (prefix + piece)[: MAX_GAME_BYTES + 1]
            prefix = START[1:]
        if len(rest) > MAX_GAME_BYTES + len(START):  # too large: its start, and of its end what may begin a START
            rest = rest[:MAX_GAME_BYTES] + b"\0" + rest[1 - len(START) :]
    if prefix or rest.strip():
        yield (prefix + rest)[: MAX_GAME_BYTES + 1]


def _close_comments(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The pieces, joined again where the cut lay inside a comment.

    A comment that is never closed must not swallow the games behind it: if the next brace opens another comment, or
    none comes within MAX_GAME_BYTES, the game ends at the cut.
    """
    game: list[bytes] = []  # parts of one game, a comment open at its end
    later: list[bytes] = []  # what follows without a brace: part of that comment if it is closed further on
    size = 0
    for piece in pieces:
        size += len(piece)
        opening, closing = piece.find(b"{"), piece.find(b"}")
        if game and (size > MAX_GAME_BYTES or (opening >= 0 and not 0 <= closing < opening)):
            yield b"\n".join(game)
            yield from later
            game, later, size = [], [], len(piece)
        if game and closing < 0:
            later.append(piece)
        elif _is_open_at_end(piece, opened=bool(game)):
            game += [*later, piece]
            later = []
        else:
            yield b"\n".join([*game, *later, piece])
            game, later, size = [], [], 0
    if game:
        yield b"\n".join(game)
        yield from later


def is_open_at_end(text: bytes) -> bool:
    """Whether the text ends inside a comment in braces."""
    return _is_open_at_end(text, opened=False)


def _is_open_at_end(text: bytes, *, opened: bool) -> bool:
    opening, closing = text.rfind(b"{"), text.rfind(b"}")
    if opening <= closing:  # behind a closing brace no comment is open, whatever stood before
        return opened and closing < 0
    if opened and closing < 0:
        return True
    start = text.find(b"}") + 1 if opened else 0
    return any(match.group(1) for match in _OPENED.finditer(text, start))


def _has_one_header(text: bytes) -> bool:
    """Whether every line up to the first empty one is a tag, and none behind it: the usual game, at little cost."""
    end = text.find(b"\n\n")
    return text.rfind(b"\n[") < end and text.count(b"\n[", 0, end) == text.count(b"\n", 0, end)


def _cut_at_tags(text: bytes) -> Iterator[bytes]:
    """Cut at each tag line behind movetext; parts without anything but white space are left out."""
    start = 0
    while start < len(text):
        moves_at = _moves_at(text, start)
        tag_lines = (match.start() for match in _TAG_LINE.finditer(text, moves_at) if match.group(1))
        end = next(tag_lines, len(text))
        if part := text[start:end].strip():
            yield part
        start = end


def _moves_at(text: bytes, start: int = 0) -> int:
    headers = _HEADERS.match(text, start)
    return headers.end() if headers else start


def read_headers(game: bytes) -> tuple[dict[bytes, bytes], bytes]:
    """The tags by name, escapes resolved, and the movetext."""
    moves_at = _moves_at(game)
    tags = _TAG.findall(game, 0, moves_at)
    return {name: re.sub(rb"\\(.)", rb"\1", value) if b"\\" in value else value for name, value in tags}, game[
        moves_at:
    ]


def main_line(movetext: bytes) -> list[bytes]:
    """The moves played in algebraic notation, without check marks and judgements, castling with letters; [] if none.

    Raises UnreadableMoves for an unclosed comment or variation, anything behind the result, or moves without a result.
    """
    if is_open_at_end(movetext):
        raise UnreadableMoves("unreadable")
    comment = _ANY_COMMENT if b";" in movetext or movetext.startswith(b"%") or b"\n%" in movetext else _BRACE_COMMENT
    text = comment.sub(b" ", movetext)
    if b"(" in text or b")" in text:
        text = _without_variations(text)
    if b"0-0" in text:
        text = text.replace(b"0-0-0", b"O-O-O").replace(b"0-0", b"O-O")
    moves = _NUMBERS.sub(b" ", text).translate(None, b"+#!?").split()
    if not moves or (len(moves) == 1 and moves[0] in RESULTS):
        return []
    if moves[-1] not in RESULTS:
        raise UnreadableMoves("no result")
    moves.pop()
    if not RESULTS.isdisjoint(moves):
        raise UnreadableMoves("unreadable")
    return [move for word in moves if (move := _bare(word))]


def _bare(word: bytes) -> bytes:
    move = word if word in _PASSED else word.lstrip(_BEFORE)
    return move if move in _PASSED else move.rstrip(_BEHIND)


def _without_variations(text: bytes) -> bytes:
    depth = 0
    main: list[bytes] = []
    for part in _PARENTHESES.findall(text):
        if part == b"(":
            depth += 1
        elif part == b")":
            depth -= 1
        elif depth == 0:
            main.append(part)
        if depth < 0:
            break
    if depth:
        raise UnreadableMoves("unreadable")
    return b" ".join(main)


def hash_of(moves: list[bytes]) -> int:
    """63 bits of where each move went and what it promoted to: equal for equal main lines in any notation.

    Lines of which another piece went to the same square are taken for equal too: what is held out is not trained on.
    """
    squares = b" ".join(_square(move, ply) for ply, move in enumerate(moves))
    return int.from_bytes(blake2b(squares, digest_size=8).digest(), "big") >> 1


def _square(move: bytes, ply: int) -> bytes:
    """Of `e4`, `e2e4`, `e8=Q`, `e8q` or `O-O` the square, that of the king in castling, and the piece promoted to."""
    if move.startswith(b"O"):
        return (b"C" if move == b"O-O-O" else b"G") + (b"8" if ply % 2 else b"1")
    plain = move.replace(b"=", b"").upper()
    return plain[-2:] if plain[-1:].isdigit() else plain[-3:]

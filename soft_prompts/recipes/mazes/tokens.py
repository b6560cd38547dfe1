"""How does a plain tokenizer.json give every cell of a board a token of its own place and content?

While the text is normalised, a cell with the space or newline behind it becomes a mark and two characters, which are
merged into one token. They depend on what stands in the cell, how many cells follow in its row, and how many rows
follow before "Moves:": so a text in front of a board, and the board's size, change nothing. A move with the space in
front is one token too. All other text is bytes.
"""

import numpy as np
from numpy.typing import NDArray
from tokenizers import Regex, Tokenizer, decoders, models, normalizers
from transformers import PreTrainedTokenizerFast

from soft_prompts.data.mazes.boards import LETTERS, MOVES, MOVES_TITLE, REACHED, UNREACHABLE
from soft_prompts.recipes.language_model import with_ends

SIDE = 8  # of boards whose cells are tokens; larger ones are mostly bytes
MARK = "\U0010f000"  # of a plane kept for private use; where it stands in a text, ESCAPED follows it meanwhile
ESCAPED = "!"
PLACES = [chr(ord("0") + place) for place in range(SIDE * SIDE)]  # printable, so that each is a token anyway
IN_ROW = "abcd"  # stand for LETTERS while the row is not known yet

SYMBOLS = MOVES + REACHED + UNREACHABLE  # what a walk consists of
OPENING = 256  # id of the first symbol where it opens a walk; the others follow in order
LATER = OPENING + len(SYMBOLS) + 1  # the same with a space in front; the lone space is between
FIRST_CELL = LATER + len(SYMBOLS)
END_ID = FIRST_CELL + len(LETTERS) * SIDE * SIDE
PAD_ID = END_ID + 1
VOCABULARY = PAD_ID + 1
TITLE_IDS = [*MOVES_TITLE[1:].encode()]  # its first newline belongs to the last cell


def cell_ids(cells: NDArray[np.int8]) -> NDArray[np.int64]:
    """[N, R * K] the tokens of boards [N, R, K] of at most 8 x 8 cells, without going through text."""
    _, rows, columns = cells.shape
    behind, below = np.arange(columns)[::-1], np.arange(rows)[::-1, None]
    return (FIRST_CELL + (cells.astype(np.int64) * SIDE + behind) * SIDE + below).reshape(len(cells), -1)


def walk_ids(moves: NDArray[np.int8], reachable: bool) -> list[int]:
    """The tokens of a walk and its last letter."""
    symbols = [*moves.tolist(), SYMBOLS.index(REACHED if reachable else UNREACHABLE)]
    return [OPENING + symbols[0], *(LATER + symbol for symbol in symbols[1:])]


def _bytes() -> list[str]:
    """The first 256 tokens: printable characters stand for themselves; five bytes that no text has serve the cells."""
    tokens = [chr(byte) if 32 <= byte < 127 else f"<0x{byte:02X}>" for byte in range(256)]
    for letter in (*SYMBOLS, " "):
        tokens[ord(letter)] = f"<0x{ord(letter):02X}>"  # these have tokens further on
    for byte, token in zip((0xC0, 0xC1, 0xF5, 0xF6, 0xF7), (MARK, *(MARK + letter for letter in LETTERS)), strict=True):
        tokens[byte] = token
    return tokens


def _cell_rules() -> list[tuple[str, str]]:
    """First each cell's place in its row, then its row; from the left and from the top, since what is ahead decides."""
    cell, inner, last = f"[{LETTERS}]", f"{MARK}[{IN_ROW}][1-{SIDE - 1}]", f"{MARK}[{IN_ROW}]0"
    rules = [(MARK, MARK + ESCAPED)]
    for behind in reversed(range(SIDE)):
        ahead = f"(?=(?:{cell} ){{{behind - 1}}}{cell}\n)" if behind else ""
        separator = " " if behind else "\n"
        rules += [
            (content + separator + ahead, f"{MARK}{mark}{behind}")
            for content, mark in zip(LETTERS, IN_ROW, strict=True)
        ]
    for below in reversed(range(SIDE)):
        rows = f"(?:(?:{inner})*{last}){{{below}}}{MOVES_TITLE[1:]}"
        for behind in reversed(range(SIDE)):
            ahead = f"(?=(?:{inner})*{last}{rows})" if behind else f"(?={rows})"
            rules += [
                (f"{MARK}{mark}{behind}{ahead}", MARK + content + PLACES[behind * SIDE + below])
                for content, mark in zip(LETTERS, IN_ROW, strict=True)
            ]
    for content, mark in zip(LETTERS, IN_ROW, strict=True):  # what is no board stays as it was
        rules += [(f"{MARK}{mark}0", content + "\n"), (f"{MARK}{mark}[1-{SIDE - 1}]", content + " ")]
    return rules


def _text_rules() -> list[tuple[str, str]]:
    """Tokens of cells back to text."""
    rules: list[tuple[str, str]] = []
    for content in LETTERS:
        rules.append((f"{MARK}{content}[{PLACES[0]}-{PLACES[SIDE - 1]}]", content + "\n"))
        rules.append((f"{MARK}{content}[{PLACES[SIDE]}-{PLACES[-1]}]", content + " "))
    return rules


def maze_tokenizer() -> PreTrainedTokenizerFast:
    """Any text comes back exactly; a board of at most 8 x 8 is a token a cell and 7 bytes of `Moves:`."""
    places = [(MARK + content, place) for content in LETTERS for place in PLACES]
    later = [(" ", symbol) for symbol in SYMBOLS]
    merges = [*later, *((MARK, content) for content in LETTERS), *places]
    tokens = [*_bytes(), *SYMBOLS, " ", *(one + other for one, other in (*later, *places))]
    model = models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=merges, byte_fallback=True)
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence([normalizers.Replace(Regex(old), new) for old, new in _cell_rules()])
    tokenizer.decoder = decoders.Sequence(
        [
            *(decoders.Replace(Regex(old), new) for old, new in _text_rules()),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Replace(MARK + ESCAPED, MARK),
        ]
    )
    return with_ends(tokenizer)

"""Where does one word end and the next begin? In any script: some put no space between words."""

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

# Of these each character is a word: Thai, Lao, Burmese, Khmer, Kana, Han, by their blocks of Unicode.
UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005\u3007\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9f"
UNSPACED += "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
WITH_SIGNS = 0x20000  # characters below it may be vowel signs and accents
_ASCII = re.compile(r"[^\W_]+|[^\w\s]|_")
_NO_SPACE = re.compile(f"(?<=[{UNSPACED}]) (?=[{UNSPACED}])")


def words_of(text: str) -> list[str]:
    """Words and marks, as they are written; vowel signs and accents stay with their letter."""
    return (_ASCII if text.isascii() else _any_script()).findall(text)


def phrase_of(words: Sequence[str]) -> str:
    """Neighbouring words as one text: a space between them, but not in scripts that have none."""
    return _NO_SPACE.sub("", " ".join(words))


@lru_cache(1)
def _any_script() -> re.Pattern[str]:
    signs = "".join(re.escape(one) for one in map(chr, range(WITH_SIGNS)) if unicodedata.category(one)[0] == "M")
    letters = rf"[^\W_{UNSPACED}]"
    return re.compile(rf"{letters}+(?:[{signs}]+{letters}*)*|[{UNSPACED}][{signs}]*|[^\w\s]|_")

"""What does a file of JSON lines hold? One object a line; a mistake is named with the line that it stands in."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from soft_prompts.common.errors import InputError

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
SHOWN = 40  # characters of a wrong value in a message
KINDS = {
    str: "text",
    list: "a list",
    int: "a whole number",
    float: "a number",
    dict: "an object",
    bool: "true or false",
}


class Line(NamedTuple):
    """One object of a file."""

    number: int
    """As an editor counts, from 1; empty lines are counted too."""
    fields: dict[str, Any]


def read_jsonl(path: Path, required: Mapping[str, type]) -> list[Line]:
    """Every object of a file, in order; empty lines are passed over.

    Raises InputError in one line that names file and line: not UTF-8, no whole JSON object, a required field missing or
    of another type, text that UTF-8 cannot write; and where the file is missing or holds no object.
    """
    try:
        content = path.read_bytes().removeprefix(BYTE_ORDER_MARK)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}; give a JSONL file") from error
    numbered = enumerate(content.split(b"\n"), start=1)
    lines = [_read_line(path, number, raw, required) for number, raw in numbered if raw.strip()]
    if not lines:
        raise InputError(f"{path} is empty; give a JSONL file with {_named(tuple(required))} in every line")
    return lines


def line_error(path: Path, number: int, wrong: str) -> InputError:
    """The error for a line: `rows.jsonl, line 3: the question is empty`."""
    return InputError(f"{path}, line {number}: {wrong}")


def _read_line(path: Path, number: int, raw: bytes, required: Mapping[str, type]) -> Line:
    try:
        fields = json.loads(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise line_error(path, number, f"byte {error.start + 1} is no UTF-8; save the file as UTF-8") from error
    except (ValueError, RecursionError) as error:
        reason = getattr(error, "msg", None) or type(error).__name__
        where = f" at character {error.pos + 1}" if isinstance(error, json.JSONDecodeError) else ""
        wrong = f"no whole JSON object ({reason}{where}); the line may be cut"
        raise line_error(path, number, wrong) from error
    if not isinstance(fields, dict):
        raise line_error(path, number, f"it is {_shown(fields)}; give an object with {_named(tuple(required))}")
    for name, kind in required.items():
        if name not in fields:
            has = f"it has {_shown(list(fields))}" if fields else "it has no field"
            raise line_error(path, number, f"{name!r} is missing, {has}; give {_named(tuple(required))}")
        refuse_other_kind(path, number, name, fields[name], kind)
    return Line(number, fields)


def refuse_other_kind(path: Path, number: int, name: str, value: Any, kind: type) -> None:
    """Raises InputError where a value is of another type, or text that no file and no tokenizer can hold."""
    fits = isinstance(value, (int, float) if kind is float else kind) and (kind is bool or not isinstance(value, bool))
    if not fits:
        raise line_error(path, number, f"{name!r} is {_shown(value)}; give {KINDS[kind]}")
    if isinstance(value, str):
        try:
            value.encode("utf-8")
        except UnicodeEncodeError as error:
            half = f"{name!r} holds half a character (\\u{ord(value[error.start]):04x}); give the whole one"
            raise line_error(path, number, half) from error


def _named(names: Sequence[str]) -> str:
    return " and ".join(repr(name) for name in names)


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= SHOWN else text[: SHOWN - 3] + "..."

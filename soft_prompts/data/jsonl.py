"""What does a file of JSON lines hold? One object a line; a mistake is named with the line that it stands in."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from soft_prompts.common.errors import InputError
from soft_prompts.data.packed import is_utf_16

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


class Parsed(NamedTuple):
    """What a line holds, or why it holds nothing."""

    fields: dict[str, Any] | None
    fault: str = ""
    """In words that are counted."""
    detail: str = ""
    """In words that say what to do."""


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
    if is_utf_16(content):
        raise InputError(f"{path} is UTF-16; save it as UTF-8, as with iconv -f UTF-16 -t UTF-8")
    numbered = enumerate(content.split(b"\n"), start=1)
    lines = [_read_line(path, number, raw, required) for number, raw in numbered if raw.strip()]
    if not lines:
        raise InputError(f"{path} is empty; give a JSONL file with {_named(tuple(required))} in every line")
    return lines


def line_error(path: Path, number: int, wrong: str) -> InputError:
    """The error for a line: `rows.jsonl, line 3: the question is empty`."""
    return InputError(f"{path}, line {number}: {wrong}")


def _read_line(path: Path, number: int, raw: bytes, required: Mapping[str, type]) -> Line:
    fields, fault, detail = parse_object(raw)
    if fields is None:
        wanted = f"; give an object with {_named(tuple(required))}" if fault == "no JSON object" else ""
        raise line_error(path, number, detail + wanted)
    for name, kind in required.items():
        if name not in fields:
            has = f"it has {shown(list(fields))}" if fields else "it has no field"
            raise line_error(path, number, f"{name!r} is missing, {has}; give {_named(tuple(required))}")
        refuse_other_kind(path, number, name, fields[name], kind)
    return Line(number, fields)


def parse_object(raw: bytes) -> Parsed:
    """The object that a line holds."""
    try:
        fields = json.loads(raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        return Parsed(None, "not UTF-8", f"byte {error.start + 1} is no UTF-8; save the file as UTF-8")
    except json.JSONDecodeError as error:
        reason = f"{error.msg} at character {error.pos + 1}"
        return Parsed(None, "not JSON", f"no whole JSON object ({reason}); the line may be cut")
    except RecursionError:
        return Parsed(None, "not JSON", "no whole JSON object (nested too deeply)")
    except ValueError:  # Python reads whole numbers of up to 4,300 digits
        return Parsed(None, "not JSON", "no whole JSON object (a number of more than 4,300 digits)")
    if not isinstance(fields, dict):
        return Parsed(None, "no JSON object", f"it is {shown(fields)}")
    return Parsed(fields)


def is_unicode(text: str) -> bool:
    """JSON can spell half of a character."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def refuse_other_kind(path: Path, number: int, name: str, value: Any, kind: type) -> None:
    """Raises InputError where a value is of another type, or text that no file and no tokenizer can hold."""
    fits = isinstance(value, (int, float) if kind is float else kind) and (kind is bool or not isinstance(value, bool))
    if not fits:
        raise line_error(path, number, f"{name!r} is {shown(value)}; give {KINDS[kind]}")
    if isinstance(value, str):
        try:
            value.encode("utf-8")
        except UnicodeEncodeError as error:
            half = f"{name!r} holds half a character (\\u{ord(value[error.start]):04x}); give the whole one"
            raise line_error(path, number, half) from error


def _named(names: Sequence[str]) -> str:
    return " and ".join(repr(name) for name in names)


def shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= SHOWN else text[: SHOWN - 3] + "..."

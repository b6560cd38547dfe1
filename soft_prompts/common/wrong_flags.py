"""What is wrong with the flags that were typed? What tyro says in a box, in one line and in our own words."""

import itertools
import re
from collections.abc import Callable, Sequence
from difflib import get_close_matches

BOX = re.compile(r"[╭╮╰╯─│┌┐└┘━┃]+|^\s*[+|]-*|-*[+|]\s*$|-{5,}")  # drawn in ASCII where stdout speaks nothing better
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
FLAG = re.compile(r"--?[a-zA-Z][\w-]*")
ELSEWHERE = "is no flag here"  # but of other commands


def one_line(box: str, arguments: Sequence[str] = (), program: str = "") -> str:
    """What the box of an error says, in our own form: the flag, what was given, what is allowed."""
    lines = [" ".join(BOX.sub(" ", COLOUR.sub("", line)).split()) for line in box.splitlines()]
    text = " ".join(line for line in lines if line)
    asked = re.search(r"For full helptext, (?:run|see):? (.+?)(?: --help)?$", text)
    see = f"see {program or (asked[1] if asked else '')} --help"
    text = text.split(" For full helptext")[0]
    for pattern, form in FORMS:
        if found := re.search(pattern, text):
            return f"{form(found, arguments, text)}; {see}"
    return f"{text or 'these flags cannot be read'}; {see}"


def given_twice(arguments: Sequence[str]) -> str | None:
    """The first flag that stands more than once, be it to switch off what it switched on, as it is typed."""
    seen = set[str]()
    for word in itertools.takewhile(lambda word: word != "--", arguments):
        flag = word.partition("=")[0]
        if FLAG.fullmatch(flag) is None or flag in ("-h", "--help"):
            continue
        if (name := re.sub("^--no-", "--", flag.replace("_", "-"))) in seen:
            return flag
        seen.add(name)
    return None


def _unrecognised(found: re.Match[str], arguments: Sequence[str], text: str) -> str:
    words = re.split(r",? ", found[1].strip())
    flag = next((word for word in words if word.startswith("-")), None)
    near = re.search(r"(?:Perhaps you meant|Arguments similar to " + re.escape(flag or "") + r"): (--[\w-]+)", text)
    commands = re.search(r"Available subcommands: ([\w, -]+?)(?: Perhaps|$)", text)
    if commands:
        known = commands[1].split(", ")
        return f"{words[0]} is no command{_did_you_mean(words[0], known)}; give one of {', '.join(known)}"
    if flag is None:
        return f"{words[0]} is not expected here: a value follows its flag"
    if near and near[1] == flag:  # of other commands: to propose it would be to repeat what was typed
        homes = dict.fromkeys(home.split(" ", 1)[-1] for home in re.findall(r"\) in ([\w. -]+?) --help", text))
        return f"{flag} {ELSEWHERE}" + (f": it belongs to {', '.join(homes)}" if homes else "")
    return f"{flag} is no flag" + (f" (did you mean {near[1]}?)" if near else "")


def _unreadable(found: re.Match[str], arguments: Sequence[str], text: str) -> str:
    flag = found[1]
    shapes = r"(\{.*?\}\|[A-Z]+|\[.*?\]\]|[A-Z]+\|\{.*?\}|[A-Z]+)"  # {None}|INT, [INT [INT ...]], INT|{off}, INT
    metavar = re.search(rf"Argument helptext: {re.escape(flag)} {shapes}", text)
    allowed = KINDS.get(metavar[1] if metavar else "", metavar[1] if metavar else "another value")
    return f"{flag} is {_given(flag, arguments)}; give {allowed}"


def _no_choice(found: re.Match[str], arguments: Sequence[str], text: str) -> str:
    value, flag, known = found[1], found[2], re.findall(r"'([^']*)'", found[3])
    return f"{flag} is {value}{_did_you_mean(value, known)}; give one of {', '.join(known)}"


def _missing(found: re.Match[str], arguments: Sequence[str], text: str) -> str:
    flags = re.findall(r"(?:^|\) )(--[\w-]+|[A-Z]{2,})(?= )", found[1])
    return f"{' and '.join(flags) or found[1]} {'are' if len(flags) > 1 else 'is'} missing"


# What tyro says, and how we say it: a pattern of its words, and the words that take their place.
FORMS: tuple[tuple[str, Callable[[re.Match[str], Sequence[str], str], str]], ...] = (
    (r"Unrecognized or misplaced options: (\S+)", _unrecognised),
    (r"Unrecognized options: (.+?)(?= Available subcommands| Perhaps you| Arguments similar|$)", _unrecognised),
    (r"invalid choice '(.*?)' for argument '(.*?)'\. Expected one of \((.*?)\)", _no_choice),
    (r"Error parsing (--[\w-]+): ", _unreadable),
    (r"Missing value for argument '(.*?)'", lambda found, *_: f"{found[1]} lacks a value after it"),
    (r"Missing from .*?: (.*)", _missing),
    (r"Expected one of \{(.*?)\}", lambda found, *_: f"a command is missing; give one of {found[1]}"),
)
KINDS = {
    "INT": "a whole number",
    "FLOAT": "a number",
    "[INT [INT ...]]": "whole numbers",
    "{None}|INT": "a whole number or None",
    "{None}|FLOAT": "a number or None",
    "INT|{auto,off}": "a whole number, auto or off",
}


def _given(flag: str, arguments: Sequence[str]) -> str:
    """The words that the user put behind a flag."""
    for place, argument in enumerate(arguments):
        name, equals, value = argument.replace("_", "-").partition("=")
        if name == flag and equals:
            return argument.partition("=")[2] or value
        if name == flag:
            behind = list(arguments[place + 1 :])
            ends = [index for index, word in enumerate(behind) if FLAG.fullmatch(word)]
            return " ".join(behind[: ends[0] if ends else None])
    return "unreadable"


def _did_you_mean(word: str, known: Sequence[str]) -> str:
    close = get_close_matches(word, known, n=1)
    return f" (did you mean {close[0]}?)" if close else ""

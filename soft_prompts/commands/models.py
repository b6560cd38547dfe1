"""Which models are embedded? `soft-prompts models`."""

import shutil
from dataclasses import dataclass

import tyro


@dataclass(frozen=True)
class ModelsOptions:
    """The embedded models: what each can do and how it was made."""

    names: tyro.conf.Positional[tuple[str, ...]] = ()
    """Models to show the whole card of; none: all of them, shortened."""


def models_command(options: ModelsOptions) -> int:
    """Print what each embedded model can do."""
    from soft_prompts.zoo.listing import listing

    print(listing(options.names, min(shutil.get_terminal_size().columns, 120)))
    return 0

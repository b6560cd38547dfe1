"""Which models are embedded? `soft-prompts models`."""

from dataclasses import dataclass

import tyro


@dataclass(frozen=True)
class ModelsOptions:
    """The embedded models, a line each, or the cards of some."""

    names: tyro.conf.Positional[tuple[str, ...]] = ()
    """Models to show the whole card of: what each can do and how it was made."""


def models_command(options: ModelsOptions) -> int:
    """Print what each embedded model can do."""
    from soft_prompts.zoo.listing import listing

    print(listing(options.names))
    return 0

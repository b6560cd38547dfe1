"""What differs inside between two prompts, data sets or models, and which component causes it?"""

from dataclasses import dataclass
from pathlib import Path

from soft_prompts.commands.steer.options import SteeringOptions
from soft_prompts.common.errors import UsageError


@dataclass(frozen=True)
class ActivationsOptions(SteeringOptions):
    """Differences of activations by component and position, and which of them matter when they are patched in."""

    data: str = "lands-told"
    donor: str | None = None
    """Class whose cue stands in front of the donor's prompt; default: the first of the data."""
    receiver: str | None = None
    """Class whose cue stands in front of the receiver's prompt; default: the second."""
    pairs: Path | None = None
    """In place of --data: JSONL with donor and receiver (prompts of equal length in tokens), answer and other (what
    each says, one token), and group."""
    other_model: str | None = None
    """A model of the same shape: it reads the receivers' prompts and is the donor."""
    kinds: tuple[str, ...] = ("resid", "attn", "mlp", "head")
    """Components to look at."""
    patches: int = 30
    """Best-ranked components to patch; 0: all of them, which says how good the rankings are."""
    items: int = 24
    """Pairs to take, at most."""
    positions: int = 64
    """Positions to look at, from the last token backwards."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if wrong := [kind for kind in self.kinds if kind not in ("resid", "attn", "mlp", "head")]:
            raise UsageError(f"kinds holds {wrong[0]}; give resid, attn, mlp, head")
        for name in ("items", "positions"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)}; give 1 or more")
        if self.patches < 0:
            raise UsageError(f"patches is {self.patches}; give 0 for all, or more")


def activations_command(options: ActivationsOptions) -> int:
    """Write and print what differs and what matters."""
    from soft_prompts.steering.causes.comparison import Looked, compare_models, compare_prompts
    from soft_prompts.steering.causes.pairs import aligned, pairs_of_choices, read_pairs

    if options.pairs is not None:
        found, where = read_pairs(options.pairs), str(options.pairs)
    else:
        choices = options.choices()
        classes = choices.classes
        donor, receiver = options.donor or classes[0], options.receiver or classes[1]
        found, where = pairs_of_choices(choices, donor, receiver), options.data
    inside = options.inside()
    pairs = aligned(inside.frozen, found[: options.items], where)
    looked = Looked(options.kinds, options.patches or None, options.positions, options.seed)
    if options.other_model is None:
        compared = compare_prompts(inside, pairs, looked)
    else:
        compared = compare_models(inside, options.beside(options.other_model), pairs, looked)
    finding = options.found("activations", inside, compared.n, compared.figures(), compared.says())
    return options.show(finding, "activations")

"""How are related concepts arranged inside a model? `soft-prompts concepts`."""

from dataclasses import dataclass

from soft_prompts.commands.steer.options import SteeringOptions
from soft_prompts.common.errors import UsageError


@dataclass(frozen=True)
class ConceptsOptions(SteeringOptions):
    """Cosines of concepts by layer, what moves what, and the same beside another model."""

    data: str = "lands-told"
    other_model: str | None = None
    """A second model that reads the same data: patterns are compared, and vectors mapped into it."""
    layer: int | None = None
    """Where concepts are added, and mapped from; default: the middle one."""
    strength: float = 1.0
    """Multiple of a concept that is added."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.strength < float("inf"):
            raise UsageError(f"strength is {self.strength}; give a number above 0")


def concepts_command(options: ConceptsOptions) -> int:
    """Write and print the network."""
    choices = options.choices()
    from soft_prompts.data.functions.world import FAMILIES, FUNCTIONS
    from soft_prompts.steering.concepts import Concepts, beside, concept_network, mapped, moved

    inside = options.inside()
    layer = inside.layers // 2 if options.layer is None else options.layer
    if not 0 <= layer < inside.layers:
        raise UsageError(f"layer is {layer}; {inside.frozen.name} has layers 0 to {inside.layers - 1}")
    found = concept_network(inside, choices.part("train"))
    told: dict[str, str] = dict(zip(FUNCTIONS, FAMILIES, strict=True))
    families = told if set(found.classes) <= set(told) else None
    change = moved(inside, choices.part("test"), found, layer, options.strength)
    concepts = Concepts(found, families, change, layer, options.strength)
    if options.other_model is not None:
        other = options.beside(options.other_model)
        pairs, between = beside(found, concept_network(other, choices.part("train")), options.seed)
        there = min(layer, other.layers - 1)
        maps = tuple(mapped(inside, other, choices, (layer, there)))
        concepts = Concepts(found, families, change, layer, options.strength, other.frozen.name, between, pairs, maps)
    finding = options.found("concepts", inside, len(choices.items), concepts.figures(), concepts.says())
    return options.show(finding, "concepts")

"""What can be asked of the steering experiment? Read before torch is loaded."""

from dataclasses import dataclass
from pathlib import Path

from soft_prompts.common.errors import UsageError

PARTS = ("functions", "sources", "dealt", "causes", "models", "edited", "concepts", "tokens")


@dataclass(frozen=True)
class SteeringExperimentOptions:
    """What the experiment does; a preset is one of these, flags change it."""

    model: str = "tiny-lands"
    """A model that knows the world of lands."""
    other_model: str | None = "tiny-lands-narrow"
    """A second one, for concepts: patterns are compared, and vectors mapped into it."""
    parts: tuple[str, ...] = PARTS
    """functions: vectors beside controls; sources: from demonstrations, names and scenes; dealt: what no vector can do;
    causes: components; models: fine-tuned beside its base; edited: an association that was edited in; concepts: their
    network; tokens: their worth."""
    functions: tuple[str, ...] = ()
    """Classes that vectors are made for; default: all eight."""
    methods: tuple[str, ...] = ("mean", "fv", "fit")
    """Of vectors."""
    pairs: int = 12
    """Donors and receivers of a comparison."""
    patches: int = 0
    """Components to patch, best-ranked first; 0: all, which says how good the rankings are."""
    tokens: tuple[int, ...] = (1, 2, 4, 8, 16)
    """Sizes of soft prompts."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Of soft prompts, and of vectors that are fitted."""
    steps: tuple[int, ...] = (40, 80)
    """Budgets of soft prompts."""
    worth: tuple[str, ...] = ("capital", "song")
    """Functions whose vectors are counted in tokens."""
    seed: int = 0
    """Seeds whatever is drawn."""
    output_dir: Path = Path(".")
    """Where steering/ goes."""
    preset: str = "default"
    """default: everything; quick: a part of it, within a minute or two."""
    debug: bool = False
    """Show the traceback of an error too."""

    def __post_init__(self) -> None:
        if wrong := [part for part in self.parts if part not in PARTS]:
            raise UsageError(f"parts holds {wrong[0]}; give {', '.join(PARTS)}")
        if wrong := [method for method in self.methods if method not in ("mean", "pca", "fv", "fit")]:
            raise UsageError(f"methods holds {wrong[0]}; give mean, pca, fv, fit")
        if self.pairs < 2:
            raise UsageError(f"pairs is {self.pairs}; give 2 or more")
        for name in ("tokens", "seeds", "steps", "methods", "parts"):
            if not getattr(self, name):
                raise UsageError(f"{name} is empty; give at least one after --{name}")
        if 1 not in self.tokens:  # before hours of the other parts; Budget asks for it
            raise UsageError(f"tokens is {', '.join(map(str, self.tokens))}; give 1 too")

"""Which flags do the commands about activations and vectors share? Read before torch is loaded."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from soft_prompts.commands.asked_model import AskedModel
from soft_prompts.common.command_line import command_line
from soft_prompts.common.console import say
from soft_prompts.common.errors import UsageError
from soft_prompts.results.findings import FINDING, Finding, Kind, write_finding
from soft_prompts.results.paths import slug

if TYPE_CHECKING:
    from soft_prompts.engine.activations.module_map import Inside
    from soft_prompts.steering.data.choices import Choices
    from soft_prompts.steering.vectors.vector import SteeringVector

DEFAULT_MODEL = "tiny-lands"


@dataclass(frozen=True, kw_only=True)
class SteeringOptions(AskedModel):
    """Model, data and where what is found goes."""

    model: str | None = None
    """Model to use; default: tiny-lands."""
    data: str = "lands-functions"
    """lands-functions, lands-told, lands-scenes, lands-dealt or lands-letters, all embedded; or a file or folder in
    --layout."""
    layout: Literal["choices", "caa", "functions", "machiavelli"] = "choices"
    """choices: JSONL with prompt, options {class: text} and group; caa: JSON list of question,
    answer_matching_behavior, answer_not_matching_behavior; functions: folder of JSON lists of input and output, one a
    function; machiavelli: folder with scenes.json, tree.json, annotations.json."""
    label: str | None = None
    """With --layout machiavelli: the annotation that tells the classes apart."""
    seed: int = 0
    """Seeds whatever is drawn."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Precision of the model."""
    out: Path = Path("steering")
    """Folder for what is made and found."""
    json: bool = False
    """Print the finding as JSON (finding.schema.json of the package) in place of sentences."""

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise UsageError(f"seed is {self.seed}; give 0 or more")

    def inside(self) -> "Inside":
        """The model that was asked for, tiny-lands without a word."""
        return self.opened(DEFAULT_MODEL)

    def opened(self, name: str) -> "Inside":
        """The model that was asked for, else the one of this name."""
        from soft_prompts.engine.activations.module_map import Inside

        return Inside(self.load(name, None, self.dtype))

    def beside(self, name: str) -> "Inside":
        """A second model, loaded as the first one."""
        return replace(self, model=name).inside()

    def choices(self) -> "Choices":
        """The data that were asked for; what was left out is said."""
        from soft_prompts.steering.data.sources import find_choices

        found = find_choices(self.data, self.layout, self.label, self.seed)
        for reason, count in found.dropped.items():
            if count:
                say(f"left out: {count} {reason}")
        return found.choices

    def found(self, kind: Kind, inside: "Inside", n: int, figures: dict[str, Any], says: list[str]) -> Finding:
        """With the header that every finding has."""
        from soft_prompts.training.environment import versions

        frozen = inside.frozen
        return Finding(
            kind,
            frozen.name,
            self.data,
            n,
            self.seed,
            figures,
            frozen.fingerprint,
            versions(),
            command_line(),
            tuple(says),
        )

    def show(self, finding: Finding, name: str) -> int:
        """Write the finding, and print it."""
        import json

        path = self.out / f"{slug(name)}{FINDING}"  # a class or a method may be called like a path
        write_finding(path, finding)
        print(json.dumps(finding.to_json(), indent=1) if self.json else "\n".join(finding.says))
        say(f"written to {path}")
        return 0


@dataclass(frozen=True, kw_only=True)
class OfVectors(SteeringOptions):
    """What the commands that measure finished vectors share."""

    model: str | None = None
    """Model to use; default: the one that the vector was made on, as its file names it."""

    def read(self, paths: Sequence[Path]) -> "tuple[Inside, list[SteeringVector]]":
        """Vectors, and the model that was asked for, else their own; of which it is not known what they were made of,
        is said."""
        from soft_prompts.steering.vectors.files import read_vector

        vectors = [read_vector(path) for path in paths]
        name = self.model or model_of(paths, vectors)
        for path, vector in zip(paths, vectors, strict=True):
            if not vector.made_of:
                say(f"note: {path} does not say which prompts it was made of; test items may be among them")
        return self.opened(name), vectors


def model_of(paths: Sequence[Path], vectors: "Sequence[SteeringVector]") -> str:
    """The model that vectors were made on; raises UsageError where they name none, or several."""
    names = list(dict.fromkeys(vector.model for vector in vectors if vector.model))
    if not names:
        raise UsageError(f"{paths[0]} names no model; give --model")
    if len(names) > 1:
        raise UsageError(f"the vectors were made on {' and on '.join(names)}; give those of one model, or --model")
    return names[0]

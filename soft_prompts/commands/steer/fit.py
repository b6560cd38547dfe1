"""Which vector asks for a class? `soft-prompts steer fit`."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from soft_prompts.commands.steer.options import SteeringOptions
from soft_prompts.common.errors import UsageError
from soft_prompts.results.paths import slug

if TYPE_CHECKING:
    from soft_prompts.engine.activations.module_map import Inside
    from soft_prompts.steering.data.choices import Choices
    from soft_prompts.steering.fitting import Fitted


@dataclass(frozen=True)
class SteerFitOptions(SteeringOptions):
    """A vector for each class, made of the train split; layer and strength are chosen on dev."""

    method: Literal["mean", "pca", "fv", "fit"] = "mean"
    """mean: the class's mean minus the mean of all classes' means; pca: the first direction of differences, uncentred;
    fv: what the ten heads of most effect give (cues and options of one token are needed); fit: by gradient."""
    classes: tuple[str, ...] = ()
    """Default: all."""
    positions: Literal["last", "generated", "all"] = "generated"
    """Where it is added: the prompt's last token, that and what is written behind it, or every token."""
    layers: tuple[int, ...] = ()
    """Layers to try; default: all."""
    strengths: tuple[float, ...] = (0.25, 0.5, 1.0, 2.0, 4.0)
    """Multiples of the vector to try."""
    gguf: bool = False
    """Write GGUF control vectors too, as llama.cpp and repeng read them; they have no layer 0."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.strengths or min(self.strengths) <= 0:
            raise UsageError(f"strengths is {', '.join(map(str, self.strengths))}; give numbers above 0")


def steer_fit_command(options: SteerFitOptions) -> int:
    """Write a vector a class and the finding; print a line a class."""
    choices = options.choices()
    from soft_prompts.steering.fitting import Wanted, cannot_do, fit_vectors

    inside = options.inside()
    wanted = Wanted(options.method, options.classes, options.positions, options.layers, options.strengths, options.seed)
    fitted = fit_vectors(inside, choices, wanted)
    says = [*(_write(options, inside, one) for one in fitted), *cannot_do(fitted)]
    figures = {"method": options.method, "vectors": [_figures(one, choices.part("dev")) for one in fitted]}
    finding = options.found("fit", inside, len(choices.part("train").items), figures, says)
    return options.show(finding, f"fit-{options.method}")


def _write(options: SteerFitOptions, inside: "Inside", one: "Fitted") -> str:
    from soft_prompts.steering.vectors.files import write_gguf, write_vector

    vector, best = one.vector, one.tried[0]
    path = options.out / "vectors" / f"{options.method}-{slug(vector.name)}.safetensors"
    write_vector(path, vector)
    kept = {layer: value for layer, value in vector.layers.items() if layer >= 1}
    if options.gguf and kept:
        write_gguf(path.with_suffix(".gguf"), vector.with_layers(kept), inside.frozen.model.config.model_type)
    share = vector.norm_shares[best.layer]
    line = f"{vector.name}: layer {best.layer}, strength {best.strength:g}, dev accuracy {best.accuracy:.2f}"
    missing = "; no GGUF file: such a file has no layer 0" if options.gguf and not kept else ""
    return f"{line}; its norm is {share:.2f} of the stream's: {path}{missing}"


def _figures(one: "Fitted", dev: "Choices") -> dict[str, object]:
    vector, asked = one.vector, dev.having(one.vector.name)
    found = {"class": vector.name, "layer": vector.layer, "strength": vector.strength, "n": vector.n}
    found |= {"norm_shares": vector.norm_shares, "tried": list(one.tried)}
    found["dev"] = {"items": len(asked.items), "groups": len(set(asked.groups))}
    found["unsteered"] = None if one.unsteered is None else one.unsteered.figures()
    if one.heads is not None:
        names = one.heads.top()
        effects = {name: one.heads.effects[one.heads.heads.index(name)] for name in names}
        found |= {"heads": effects, "clean": one.heads.clean, "corrupt": one.heads.corrupt}
    return found

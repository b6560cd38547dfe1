"""How does a prompt begin? An architecture with one of the initialisations."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from soft_prompts.common.errors import UsageError
from soft_prompts.prompts.architectures import Prompt, PromptShape
from soft_prompts.prompts.kinds import UNCONDITIONAL, Initialisation, architecture

NORMAL = 0.1  # standard deviation of the paper's own start


def build_prompt(
    kind: str,
    shape: PromptShape,
    vocabulary: Float[Tensor, "V H"],
    init: Initialisation = "vocabulary",
    seed: int = 0,
) -> Prompt:
    """A prompt module on the CPU; the same seed gives the same parameters and leaves torch's own generator as it was.

    `vocabulary`: input embeddings of real tokens, which the vocabulary initialisation samples or measures.
    """
    if architecture(kind).needs_conditions and shape.conditions == 0:
        raise UsageError(f"prompt is {kind}, which needs conditions; give {UNCONDITIONAL} where the task has none")
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.default_generator.manual_seed(seed)  # the CPU's alone: torch.manual_seed would seed every GPU's too
        prompt = architecture(kind)(shape)
        if shape.tokens > 0:
            INITIALISATIONS[init](prompt, vocabulary)
    return prompt


def _from_vocabulary(prompt: Prompt, vocabulary: Float[Tensor, "V H"]) -> None:
    """Rows of sampled token embeddings; what depends on the conditions is added to them, and is shorter.

    A model is used to tokens in front of a text: rows of any other direction cost it loss before anything is learnt.
    """
    sampled = torch.randint(len(vocabulary), (prompt.shape.tokens,))
    prompt.begin(vocabulary[sampled.to(vocabulary.device)].float().cpu(), _length(vocabulary))


def _mean_and_noise(prompt: Prompt, vocabulary: Float[Tensor, "V H"]) -> None:
    """Rows drawn from a normal distribution with the mean and the variance of each coordinate of the vocabulary."""
    spread, mean = torch.std_mean(vocabulary.float().cpu(), dim=0, correction=0)
    noise = torch.randn(prompt.shape.tokens, prompt.shape.hidden_size)
    prompt.begin(mean + spread * noise, _length(vocabulary))


def _length(vocabulary: Float[Tensor, "V H"]) -> float:
    """Of a token embedding, on average."""
    return vocabulary.float().norm(dim=1).mean().item()


INITIALISATIONS: dict[Initialisation, Callable[[Prompt, Tensor], None]] = {
    "vocabulary": _from_vocabulary,
    "zeros": lambda prompt, vocabulary: prompt.begin_random(0.0),
    "normal": lambda prompt, vocabulary: prompt.begin_random(NORMAL),
    "paper": lambda prompt, vocabulary: None,  # as constructed
    "mean_noise": _mean_and_noise,
    "search": _from_vocabulary,  # what a search starts from, and a grown prompt has beside the smaller one
    "grown": _from_vocabulary,
}


@torch.no_grad()
def grow(prompt: nn.Module, smaller: nn.Module) -> None:
    """Give the first tokens of `prompt` the parameters of a smaller one of the same kind; the others stay."""
    few = dict(smaller.named_parameters())
    for name, parameter in prompt.named_parameters():
        corner = tuple(slice(0, size) for size in few[name].shape)  # tokens come first, a code's higher bits last
        parameter[corner] = few[name].to(parameter.device)

"""Which labeller does a word stand for? phrases, model:NAME, or URL#MODEL."""

from pathlib import Path

from soft_prompts.behaviour.comparison.family import Loading
from soft_prompts.behaviour.labellers.endpoint import EndpointLabeller
from soft_prompts.behaviour.labellers.local import ModelLabeller
from soft_prompts.behaviour.wording.labels import Labeller
from soft_prompts.behaviour.wording.phrases import Phrases
from soft_prompts.common.errors import UsageError
from soft_prompts.models.frozen import load_frozen_model


def labeller_of(word: str, loading: Loading, kept: Path) -> Labeller:
    """The labeller; raises UsageError for a word that is none, InputError for a model that is not there."""
    if word == "phrases":
        return Phrases()
    if word.startswith("model:"):
        name = word.removeprefix("model:")
        return ModelLabeller(load_frozen_model(name, device=loading.device, offline=loading.offline))
    url, mark, model = word.partition("#")
    if url.startswith(("http://", "https://")) and mark and model:
        return EndpointLabeller(url, model, kept)
    raise UsageError(f"labeller is {word}; give phrases, model:NAME, or URL#MODEL with a URL that begins with http")

"""Does a text fit the positions that a model was built for? Beyond them rotary models raise nothing, and say what
nobody taught them to say."""

from soft_prompts.common.errors import InputError, UsageError
from soft_prompts.models.model import FrozenModel

Refusal = type[InputError] | type[UsageError]


def refuse_beyond(frozen: FrozenModel, positions: int, said: str, instead: str, refusal: Refusal = UsageError) -> None:
    """Raises the refusal, a line of what is `said` to be so many positions and of what to do `instead`."""
    room = frozen.context_length
    if room is not None and positions > room:
        raise refusal(f"{said} {positions} positions; {frozen.name} has {room}; {instead}")

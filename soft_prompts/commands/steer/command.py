"""Which of the commands about vectors is meant?"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import tyro

from soft_prompts.commands.steer.apply import SteerApplyOptions, steer_apply_command
from soft_prompts.commands.steer.eval import SteerEvalOptions, steer_eval_command
from soft_prompts.commands.steer.fit import SteerFitOptions, steer_fit_command
from soft_prompts.commands.steer.items import SteerItemsOptions, steer_items_command
from soft_prompts.commands.steer.tokens import SteerTokensOptions, steer_tokens_command


@dataclass(frozen=True)
class SteerOptions:
    """Vectors in the residual stream: made, measured beside controls and in soft tokens, and used.

    `steer fit`, `steer eval`, `steer tokens`, `steer items`, `steer apply`.
    """


STEER = (
    Annotated[SteerFitOptions, tyro.conf.subcommand("fit")]
    | Annotated[SteerEvalOptions, tyro.conf.subcommand("eval")]
    | Annotated[SteerTokensOptions, tyro.conf.subcommand("tokens")]
    | Annotated[SteerItemsOptions, tyro.conf.subcommand("items")]
    | Annotated[SteerApplyOptions, tyro.conf.subcommand("apply")]
)
DOES: Mapping[type, Callable[[Any], int]] = {
    SteerFitOptions: steer_fit_command,
    SteerEvalOptions: steer_eval_command,
    SteerTokensOptions: steer_tokens_command,
    SteerItemsOptions: steer_items_command,
    SteerApplyOptions: steer_apply_command,
}


def steer_command(options: Any) -> int:
    """Do what was asked."""
    return DOES[type(options)](options)

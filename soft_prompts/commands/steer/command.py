"""Which of the commands about vectors is meant?"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import tyro

from soft_prompts.commands.steer.apply import SteerApplyOptions, steer_apply_command
from soft_prompts.commands.steer.eval import SteerEvalOptions, steer_eval_command
from soft_prompts.commands.steer.fit import SteerFitOptions, steer_fit_command


@dataclass(frozen=True)
class SteerOptions:
    """Vectors in the residual stream: `steer fit`, `steer eval` and `steer apply` make, measure and use them."""


STEER = (
    Annotated[SteerFitOptions, tyro.conf.subcommand("fit")]
    | Annotated[SteerEvalOptions, tyro.conf.subcommand("eval")]
    | Annotated[SteerApplyOptions, tyro.conf.subcommand("apply")]
)
DOES: Mapping[type, Callable[[Any], int]] = {
    SteerFitOptions: steer_fit_command,
    SteerEvalOptions: steer_eval_command,
    SteerApplyOptions: steer_apply_command,
}


def steer_command(options: Any) -> int:
    """Do what was asked."""
    return DOES[type(options)](options)

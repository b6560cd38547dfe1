"""Which tasks are there, by name?"""

from soft_prompts.tasks.chess import ChessTask
from soft_prompts.tasks.completion import CompletionTask
from soft_prompts.tasks.guidance.task import GuidanceTask
from soft_prompts.tasks.known_source import KnownSourceTask, SelfPlantedTask
from soft_prompts.tasks.mazes.pathfinding import PathfindingTask
from soft_prompts.tasks.task import Task
from soft_prompts.tasks.texts.autoregressive import AutoregressiveTask
from soft_prompts.tasks.texts.chat_detuning import ChatDetuningTask
from soft_prompts.tasks.texts.repetition import RepetitionTask
from soft_prompts.tasks.texts.skip_tokens import SkipTokensTask

TASKS: dict[str, type[Task]] = {
    "autoregressive": AutoregressiveTask,
    "chat_detuning": ChatDetuningTask,
    "chess": ChessTask,
    "completion": CompletionTask,
    "known_source": KnownSourceTask,
    "guidance_softprompt": GuidanceTask,
    "pathfinding": PathfindingTask,
    "repetition": RepetitionTask,
    "self_planted": SelfPlantedTask,
    "skip_tokens": SkipTokensTask,
}

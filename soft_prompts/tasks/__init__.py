"""What can be asked of a model? A new task is one file here, one line in TASKS and one experiment in tests/."""

from soft_prompts.tasks.chess import ChessTask
from soft_prompts.tasks.task import Task

TASKS: dict[str, type[Task]] = {"chess": ChessTask}

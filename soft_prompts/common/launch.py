"""Which process of a launch is this? Asked of the launcher's own variables, so that nobody waits for torch to know."""

import os

RANKS = ("RANK", "PMI_RANK", "OMPI_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK")  # torchrun, MPI: as accelerate does
SIZES = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")


def is_main_process() -> bool:
    """Whether this process speaks and writes for all of them; always, where there is only one."""
    return _named(RANKS, "0") == "0" or _named(SIZES, "1") == "1"


def place() -> tuple[int, int]:
    """This process's number, and how many there are."""
    return int(_named(RANKS, "0")), int(_named(SIZES, "1"))


def _named(names: tuple[str, ...], otherwise: str) -> str:
    """The first of the launcher's variables that is set."""
    return next((value for name in names if (value := os.environ.get(name))), otherwise)

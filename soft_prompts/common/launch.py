"""Which process of a launch is this? Asked of the launcher's own variables, so that nobody waits for torch to know."""

import os

RANKS = (
    "RANK",
    "PMI_RANK",
    "OMPI_COMM_WORLD_RANK",
    "MV2_COMM_WORLD_RANK",
)  # torchrun, MPI: as accelerate does


def is_main_process() -> bool:
    """Whether this process speaks and writes for all of them; always, where there is only one."""
    known = (os.environ.get(name, "") for name in RANKS)
    return next((rank for rank in known if rank), "0") == "0"

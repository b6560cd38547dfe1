"""How does a model that is larger than one device lie on several: whole layers on each, or a part of every layer?

Nothing here loads torch: settings are checked by it.
"""

from dataclasses import dataclass
from typing import Literal

from soft_prompts.common.errors import UsageError

Mode = Literal["none", "pipeline", "tensor", "fsdp"]
Parallel = Literal["auto", "none", "pipeline", "tensor", "fsdp"]
IN_STEP = ("tensor", "fsdp")  # a process holds a part of every layer, and none gets through one without the others
FILLED = 0.8  # of a device's memory that weights may take by themselves: the rest is for what a step keeps


@dataclass(frozen=True)
class Spread:
    """What is asked of the places of a model's weights."""

    device_map: str | None = None
    """auto: whole layers on all devices of a process, by accelerate; None: as `parallel` says."""
    max_memory: tuple[str, ...] = ()
    """DEVICE=SIZE, as 0=20GiB or cpu=60GiB."""
    parallel: Parallel = "none"

    def __post_init__(self) -> None:
        if self.device_map is not None and self.parallel in IN_STEP:
            raise UsageError(
                f"parallel is {self.parallel} and device-map {self.device_map}, which is pipeline; leave either out"
            )
        given = " ".join(self.max_memory)
        if not all(all(one.partition("=")) for one in self.max_memory):
            raise UsageError(f"max-memory is {given}; give DEVICE=SIZE, as 0=20GiB or cpu=60GiB")
        if given and not self.is_mapped:
            raise UsageError(f"max-memory is {given}, which is for whole layers on devices; give --parallel pipeline")

    @property
    def is_mapped(self) -> bool:
        """Does accelerate say where each layer goes?"""
        return self.device_map is not None or self.parallel == "pipeline"

    @property
    def limits(self) -> dict[int | str, str] | None:
        """Of every device, by its number or name; None where there are none."""
        pairs = [one.partition("=") for one in self.max_memory]
        return {int(name) if name.isdigit() else name: size for name, _, size in pairs} or None

    def __str__(self) -> str:
        """Empty for a model that is whole on one device."""
        parallel = "" if self.parallel == "none" else self.parallel
        return " ".join(filter(None, (parallel, self.device_map, *self.max_memory)))


WHOLE = Spread()


@dataclass(frozen=True)
class Machine:
    """What a process has to do with."""

    processes: int = 1
    """Of its launch."""
    devices: int = 1
    """GPUs that it sees."""
    memory: int | None = None
    """Bytes of one; None: not limited, as on a CPU."""


def mode_for(spread: Spread, weights: int, machine: Machine) -> Mode:
    """How a model with so many bytes of weights is spread; raises UsageError for what these processes cannot do.

    auto leaves it whole where one device holds it; else a launch of several processes takes fsdp, one process with
    several GPUs pipeline.
    """
    if spread.parallel in IN_STEP and machine.processes == 1:
        raise UsageError(
            f"parallel is {spread.parallel}, which takes several processes, and this is one; start it by accelerate "
            "launch or torchrun, or give --parallel pipeline"
        )
    if spread.is_mapped and machine.processes > 1:
        raise UsageError("pipeline is of one process; start it without a launcher, or give --parallel fsdp")
    if spread.is_mapped:
        return "pipeline"
    if spread.parallel != "auto":
        return spread.parallel
    if machine.memory is None or weights <= FILLED * machine.memory:
        return "none"
    return "fsdp" if machine.processes > 1 else "pipeline" if machine.devices > 1 else "none"

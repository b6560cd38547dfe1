"""How does a Ray cluster make the pieces of a sweep? As Ray Core tasks, a piece each, with stated CPUs, GPU share and
memory. Ray keeps nothing that is needed: when a node or the head is lost, the runs' own files say what is left.

Source: the Ray Core API (ray.remote, ray.wait); neither Ray Tune nor its storage is used.
"""

import os
import socket
import time
from collections.abc import Hashable, Iterable
from contextlib import suppress
from importlib import import_module
from typing import Any, NamedTuple

from soft_prompts.common.console import say
from soft_prompts.common.errors import InputError, Interrupted, UsageError
from soft_prompts.experiments.scale_out.hands import Ended
from soft_prompts.experiments.scale_out.work import Parcel, make

WAIT_SECONDS = 1.0
STOP_SECONDS = 20.0
PATIENCE = 20  # times in a row that the head may not answer
LOST = "the cluster's head is lost; the same command goes on when there is one again"
GIB = 2**30


class Share(NamedTuple):
    """What each piece takes of its node."""

    cpus: float = 1.0
    gpus: float = 0.0
    memory_gib: float | None = None


class HeadLost(Interrupted):
    """The cluster is gone; what was finished is finished."""


class RayHands:
    """Tasks of a cluster."""

    def __init__(self, address: str | None, share: Share) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # read by Ray when it is imported; nothing is reported
        try:
            self.ray: Any = import_module("ray")
        except ImportError as error:
            raise UsageError("on is ray, which is not installed here; pip install 'soft_prompts[ray]'") from error
        self.share, self.names = share, dict[Any, str]()
        try:
            # without an address Ray would take that of RAY_ADDRESS, or of any cluster that runs here
            self.ray.init(address=address or "local", log_to_driver=False, configure_logging=False)
        except (ConnectionError, RuntimeError, ValueError) as error:
            where = f"at {address}" if address else "here"
            said = " ".join(str(error).split())[:200]
            raise InputError(f"no Ray cluster answers {where} ({said}); start one: ray start --head") from error
        self.head, self.unheard = str(self.ray.get_runtime_context().gcs_address), 0
        self._say_if_too_large()
        memory = None if share.memory_gib is None else int(share.memory_gib * GIB)
        takes = {"num_cpus": share.cpus, "num_gpus": share.gpus, "memory": memory, "max_retries": 0}
        self.task = self.ray.remote(**takes)(make)

    def start(self, parcel: Parcel) -> Hashable:
        """Queue it with the cluster."""
        reference = self.task.remote(parcel)
        self.names[reference] = ""
        return reference

    def ended(self) -> Iterable[Ended]:
        """Raises HeadLost where nobody answers any more: Ray itself would end this process after a minute."""
        self.unheard = 0 if self._head_answers() else self.unheard + 1
        if self.unheard > PATIENCE:
            raise HeadLost(LOST)
        try:
            done, _ = self.ray.wait([*self.names], num_returns=len(self.names), timeout=WAIT_SECONDS)
            for reference in done:
                self.names.pop(reference)
            return [self._outcome(reference) for reference in done]
        except (self.ray.exceptions.RaySystemError, self.ray.exceptions.RpcError, ConnectionError) as error:
            raise HeadLost(LOST) from error

    def _head_answers(self) -> bool:
        host, _, port = self.head.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=WAIT_SECONDS).close()
            return True
        except OSError:
            if not self.unheard:
                say("the cluster's head does not answer; waiting")
            time.sleep(WAIT_SECONDS)
            return False

    def _outcome(self, reference: Any) -> Ended:
        exceptions = self.ray.exceptions
        try:
            return Ended(reference, self.ray.get(reference))
        except (exceptions.RaySystemError, exceptions.RpcError):
            raise
        except exceptions.RayTaskError as error:
            return Ended(reference, died=_why(error))
        except exceptions.RayError as error:  # the worker or its node died, or its memory was out
            return Ended(reference, died=f"a worker died ({type(error).__name__})")

    def stop(self) -> None:
        """Ask what is left to end after its last whole step, and leave; who does not hear goes on from a state."""
        if self.unheard > PATIENCE:  # there is nobody to ask, and asking would not end
            return
        with suppress(Exception):
            for reference in self.names:
                self.ray.cancel(reference)
            if self.names:
                self.ray.wait([*self.names], num_returns=len(self.names), timeout=STOP_SECONDS)
        with suppress(Exception):
            self.ray.shutdown()

    def _say_if_too_large(self) -> None:
        """A task that fits no node waits for one; that may be what a cluster that grows is for."""
        nodes = [node["Resources"] for node in self.ray.nodes() if node["Alive"]]
        wanted = {"CPU": self.share.cpus, "GPU": self.share.gpus, "memory": (self.share.memory_gib or 0) * GIB}
        if not any(all(node.get(name, 0) >= much for name, much in wanted.items()) for node in nodes):
            say(f"no node here has {self.share.cpus:g} CPUs, {self.share.gpus:g} GPUs and the memory; waiting for one")


def _why(error: BaseException) -> str:
    """What a worker raised, in one line."""
    cause = getattr(error, "cause", None) or error
    return f"a worker stopped ({type(cause).__name__}: {' '.join(str(cause).split())[:300]})"

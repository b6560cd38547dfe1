"""What do the processes of a launch say when another one died before any run began?"""

from collections.abc import Callable
from types import SimpleNamespace

import pytest
from torch import distributed

from soft_prompts.common.errors import InputError, Interrupted
from soft_prompts.engine import processes
from soft_prompts.engine.processes import meet, told_by_first

GLOO = RuntimeError("[third_party/gloo/gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]:4711")
SAID = (
    "process 1 of 2 hears nothing of the others: one of them died, or was silent for 30 minutes; the same command goes"
)


def fails_with(error: Exception) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


@pytest.fixture
def second(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """This process is the second of two."""
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    two = SimpleNamespace(num_processes=2, is_main_process=False, wait_for_everyone=lambda: None)
    monkeypatch.setattr(processes, "PartialState", lambda **_: two)
    monkeypatch.setattr(processes, "_patient_group", lambda: None)
    return monkeypatch


@pytest.mark.parametrize("error", [GLOO, distributed.DistNetworkError("recvBytes"), distributed.DistStoreError("1/2")])
@pytest.mark.parametrize("step", ["meet", "_patient_group", "broadcast"])
def test_a_process_that_died_before_a_run_ends_the_others_in_a_line(
    second: pytest.MonkeyPatch, step: str, error: Exception
) -> None:
    of = {"meet": "PartialState", "_patient_group": "_patient_group"}
    if step in of:
        second.setattr(processes, of[step], fails_with(error))
    else:
        second.setattr(distributed, "broadcast_object_list", fails_with(error))
    with pytest.raises(Interrupted, match=SAID) as caught:
        meet(cpu=True) if step == "meet" else told_by_first(lambda: 1)
    assert caught.value.exit_code == 4
    assert "  " not in str(caught.value)


def test_what_the_first_raises_and_what_is_of_nobody_else_stays_as_it_is(second: pytest.MonkeyPatch) -> None:
    second.setattr(distributed, "broadcast_object_list", lambda told, **_: told.__setitem__(1, InputError("none")))
    with pytest.raises(InputError, match="none"):
        told_by_first(lambda: 1)
    second.setattr(distributed, "broadcast_object_list", fails_with(RuntimeError("out of luck")))
    with pytest.raises(RuntimeError, match="out of luck"):
        told_by_first(lambda: 1)

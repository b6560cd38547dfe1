"""Is the precision the one that was asked for, and `fastest` what the probe says?"""

import pytest
import torch

from soft_prompts.models import precision
from soft_prompts.models.precision import DTYPES, dtype_name, faster_on_cpu

CPU = torch.device("cpu")
CUDA = torch.device("cuda")


@pytest.mark.parametrize(
    ("asked", "device", "expected"),
    [("auto", CPU, "float32"), ("auto", CUDA, "bfloat16"), ("bfloat16", CPU, "bfloat16"), ("float32", CUDA, "float32")],
)
def test_what_is_asked_for_is_what_is_used(asked: str, device: torch.device, expected: str) -> None:
    assert dtype_name(asked, device) == expected


@pytest.mark.parametrize("faster", list(DTYPES))
def test_fastest_on_a_cpu_is_the_precision_of_the_faster_product(faster: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "_seconds", lambda dtype: 1.0 if dtype == DTYPES[faster] else 2.0)
    faster_on_cpu.cache_clear()
    assert dtype_name("fastest", CPU) == faster
    faster_on_cpu.cache_clear()
    assert dtype_name("fastest", CUDA) == "bfloat16"


def test_the_probe_times_a_product() -> None:
    assert all(precision._seconds(dtype) > 0 for dtype in DTYPES.values())

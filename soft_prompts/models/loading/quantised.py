"""Is a base quantised, in which way, and can it be loaded here?"""

from importlib.util import find_spec
from typing import Any

from transformers import PretrainedConfig

from soft_prompts.common.errors import InputError

PACKAGES = {  # of transformers' quantisation methods: what is imported, and what pip calls it
    "bitsandbytes": ("bitsandbytes", "bitsandbytes"),
    "torchao": ("torchao", "torchao"),
    "compressed-tensors": ("compressed_tensors", "compressed-tensors"),
    "gptq": ("gptqmodel", "gptqmodel"),
    "awq": ("gptqmodel", "gptqmodel"),
    "fp8": ("accelerate", "accelerate"),
    "hqq": ("hqq", "hqq"),
    "quanto": ("optimum.quanto", "optimum-quanto"),
}


def quantisation_in(config: PretrainedConfig) -> str | None:
    """Method and bits, as `bitsandbytes 4 bits`; None for a base of plain numbers.

    Raises InputError with the package that a quantised one needs and that is not installed.
    """
    settings: Any = getattr(config, "quantization_config", None)
    if settings is None:
        return None
    settings = settings if isinstance(settings, dict) else settings.to_dict()
    method = str(settings.get("quant_method", "bitsandbytes")).rpartition(".")[2].lower()
    module, package = PACKAGES.get(method, (None, method))
    if module is not None and find_spec(module.partition(".")[0]) is None:
        raise InputError(f"it is quantised by {method}, which needs a package: pip install {package}")
    return " ".join([method, *_bits(settings)])


def _bits(settings: dict[str, Any]) -> list[str]:
    if settings.get("load_in_4bit") or settings.get("load_in_8bit"):
        return ["4 bits" if settings.get("load_in_4bit") else "8 bits"]
    return [f"{settings['bits']} bits"] if isinstance(settings.get("bits"), int) else []

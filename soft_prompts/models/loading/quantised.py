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

BITS = ("bits", "w_bit", "nbits", "weight_bits")  # what methods call it


def quantisation_in(config: PretrainedConfig) -> str | None:
    """Method and bits, as `bitsandbytes 4 bits`; None for a base of plain numbers.

    Raises InputError with the package that a quantised one needs and that is not installed.
    """
    settings = _settings(config)
    if settings is None:
        return None
    method = str(settings.get("quant_method", "bitsandbytes")).rpartition(".")[2].lower()
    module, package = PACKAGES.get(method, (None, method))
    if module is not None and find_spec(module.partition(".")[0]) is None:
        raise InputError(f"it is quantised by {method}, which needs a package: pip install {package}")
    bits = bits_in(config)
    return method if bits is None else f"{method} {bits} bits"


def bits_in(config: PretrainedConfig) -> int | None:
    """Of each weight of the quantised layers, as far as the configuration says it."""
    settings = _settings(config) or {}
    if settings.get("load_in_4bit") or settings.get("load_in_8bit"):
        return 4 if settings.get("load_in_4bit") else 8
    named = [settings.get(name) for name in BITS]
    return 8 if settings.get("quant_method") == "fp8" else next((bits for bits in named if isinstance(bits, int)), None)


def _settings(config: PretrainedConfig) -> dict[str, Any] | None:
    settings: Any = getattr(config, "quantization_config", None)
    return settings if settings is None or isinstance(settings, dict) else settings.to_dict()

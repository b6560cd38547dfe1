"""What is a tokenizer? Hugging Face's type, named without the second that importing transformers takes."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase
else:
    PreTrainedTokenizerBase = Any

"""How is transformers kept from talking while a model is read or written?"""

import transformers


class quiet:
    """No progress bars or advice from transformers within."""

    def __enter__(self) -> None:
        self.verbosity = transformers.logging.get_verbosity()
        self.shows_bars = transformers.utils.logging.is_progress_bar_enabled()
        transformers.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()

    def __exit__(self, *_: object) -> None:
        transformers.logging.set_verbosity(self.verbosity)
        if self.shows_bars:  # one may stand within another
            transformers.utils.logging.enable_progress_bar()

"""Does the model hub answer? Asked without torch, so that readers of data start at once."""

import functools
import ssl
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from huggingface_hub import constants

HUB_SECONDS = 5.0
constants.HF_HUB_DISABLE_TELEMETRY = True  # its client looks up what it runs under, even when it may ask nobody


@functools.cache
def hub_answers() -> bool:
    """Whether the model hub can be reached at all: one request a process, a few seconds at most."""
    try:
        with urlopen(Request(constants.ENDPOINT, method="HEAD"), timeout=HUB_SECONDS):
            return True
    except HTTPError:  # an answer all the same
        return True
    except OSError as error:
        return isinstance(getattr(error, "reason", None), ssl.SSLError)  # it answers, with an unknown certificate

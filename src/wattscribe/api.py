"""The verbs under the name that they had first: `wattscribe.api.bench` is `wattscribe.bench`."""

from wattscribe.verbs import *  # noqa: F403
from wattscribe.verbs import __all__ as __all__

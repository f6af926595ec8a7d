"""Loss weights for every image, data set and object, in every head of an object detector.

The core knows no framework: what a weight's address is (:mod:`headweights.addresses`), what a weight is
(:mod:`headweights.weights`), and how a gradient is weighted (:mod:`headweights.gate`). ``headweights.mmdet`` hangs on it.
"""

from headweights.addresses import Address, AddressBook
from headweights.errors import WeightError
from headweights.weights import checked_weight

__all__ = ["Address", "AddressBook", "WeightError", "checked_weight", "gate_gradient"]
__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    # The gate alone needs torch; whoever only checks weights or prints a version does not wait for it.
    if name == "gate_gradient":
        from headweights.gate import gate_gradient

        return gate_gradient
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

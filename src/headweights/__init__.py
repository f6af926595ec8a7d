"""Loss weights for every image, data set and object, in every head of an object detector.

The core knows no detection framework: ``weights``, ``images``, ``provenance``, ``mixture``, ``gating``, ``batch``,
``contributions`` and ``run_record``. ``headweights.mmdet`` connects it to mmdetection. The commands ``check``, ``report``,
``tune`` and ``demo`` use both.
"""

from headweights.errors import WeightError
from headweights.weights.addresses import Address, AddressBook
from headweights.weights.weight import checked_weight

__all__ = ["Address", "AddressBook", "WeightError", "checked_weight", "gate_gradient"]
__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    # Only the gate needs torch. Whoever checks weights or prints the version does not wait for it.
    if name == "gate_gradient":
        from headweights.gating.gate import gate_gradient

        return gate_gradient
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

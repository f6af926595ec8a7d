"""Every change that headweights makes to classes of transformers, and the way to undo them.

Everything else uses an extension point: forward hooks of a model, callbacks of a ``Trainer``.
"""

from __future__ import annotations

from typing import Any

from headweights.patching import Around, Patches

_patches = Patches()
_wrapped: set[tuple[type, str]] = set()


def wrap(owner: Any, method: str, around: Around) -> None:
    """Wraps a method of a class. Doing it twice does no harm.

    Args:
        owner: The class.
        method: The method's name.
        around: Called as ``around(method, self, *args, **kwargs)``.
    """
    if (owner, method) not in _wrapped:
        _wrapped.add((owner, method))
        _patches.wrap(owner, method, around)


def uninstall() -> None:
    """Undoes all changes to classes. A weighted model then refuses to train until it is weighed again."""
    _patches.undo()
    _wrapped.clear()

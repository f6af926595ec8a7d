"""Methods that are replaced and put back: of one object while a block runs, or of a class until the change is undone."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

# Called in place of a method: it gets the method and what the method was called with.
Around = Callable[..., Any]

_ABSENT = object()


@contextmanager
def replaced(owner: Any, name: str, around: Around) -> Iterator[None]:
    """Replaces a method of one object while the block runs.

    Args:
        owner: The object. Its class is left alone.
        name: The method's name.
        around: Called as ``around(method, *args, **kwargs)`` with the object's own bound method.
    """
    before = getattr(owner, name)
    own = vars(owner).get(name, _ABSENT)

    def replacing(*args: Any, **kwargs: Any) -> Any:
        return around(before, *args, **kwargs)

    replacing.__signature__ = inspect.signature(before)  # type: ignore[attr-defined]
    # Not setattr: torch.nn.Module overrides it.
    object.__setattr__(owner, name, replacing)
    try:
        yield
    finally:
        if own is _ABSENT:
            object.__delattr__(owner, name)
        else:
            object.__setattr__(owner, name, own)


class Patches:
    """Changes to classes, remembered so that :meth:`undo` can take all of them back."""

    def __init__(self) -> None:
        self._before: list[tuple[Any, str, Any]] = []

    def wrap(self, owner: type, name: str, around: Around) -> None:
        """Wraps a method of a class, its own or inherited.

        Args:
            owner: The class.
            name: The method's name.
            around: Called as ``around(method, self, *args, **kwargs)``.
        """
        method = getattr(owner, name)

        @functools.wraps(method)
        def wrapped(self: Any, *args: Any, **kwargs: Any) -> Any:
            return around(method, self, *args, **kwargs)

        self.set(owner, name, wrapped)

    def set(self, owner: Any, name: str, value: Any) -> None:
        """Sets an attribute of a class."""
        self._before.append((owner, name, vars(owner).get(name, _ABSENT)))
        setattr(owner, name, value)

    def in_every_subclass(self, base: Any, change: Callable[[Any], None]) -> None:
        """Applies a change to a class, to its subclasses, and to subclasses that are defined later.

        Args:
            base: The class.
            change: Called once with each class. It uses :meth:`set`, or :meth:`wrap` on methods that the class itself defines.
        """
        classes = [base]
        for cls in classes:  # the list grows meanwhile
            change(cls)
            classes += [subclass for subclass in cls.__subclasses__() if subclass not in classes]
        inherited = vars(base).get("__init_subclass__")

        def change_too(cls: Any, /, **kwargs: Any) -> None:
            if inherited is None:
                super(base, cls).__init_subclass__(**kwargs)
            else:
                inherited.__func__(cls, **kwargs)
            change(cls)

        self.set(base, "__init_subclass__", classmethod(change_too))

    def undo(self) -> None:
        """Puts back everything that was set, the last first."""
        while self._before:
            owner, name, value = self._before.pop()
            if value is _ABSENT:
                delattr(owner, name)
            else:
                setattr(owner, name, value)

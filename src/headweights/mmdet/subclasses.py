"""What is done to a class and to every subclass of it, those that are defined later included."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

# What is called instead of a method: it is given the method, its object and the method's one argument.
Around = Callable[[Callable[[Any, Any], Any], Any, Any], Any]


def to_every_subclass(base: Any, change: Callable[[Any], object]) -> None:
    """Applies `change` to a class, to its subclasses, and to those still to come; harmless where it is done already."""
    mark = f"_headweights_{change.__name__}"
    if mark in vars(base):
        return
    pending = [base]
    while pending:
        cls = pending.pop()
        change(cls)
        pending += cls.__subclasses__()

    own = vars(base).get("__init_subclass__")

    def change_too(cls: Any, /, **kwargs: Any) -> None:
        if own is None:
            super(base, cls).__init_subclass__(**kwargs)
        else:
            own.__func__(cls, **kwargs)
        change(cls)

    base.__init_subclass__ = classmethod(change_too)
    setattr(base, mark, True)


def wrap_everywhere(base: Any, name: str, around: Around) -> None:
    """Puts `around` about a method of one argument, in a class and in every subclass that has its own; harmless where it is done.

    A subclass's method that calls its parent's passes `around` twice: the outer call is to leave nothing to do for the inner one.
    """
    mark = f"_headweights_{around.__name__}"

    def wrap(cls: Any) -> None:
        _wrap(cls, name, around, mark)

    wrap.__name__ = around.__name__
    to_every_subclass(base, wrap)


def _wrap(cls: Any, name: str, around: Around, mark: str) -> None:
    method = vars(cls).get(name)
    if method is None or hasattr(method, mark):
        return

    @functools.wraps(method)
    def wrapped(self: Any, *args: Any, **kwargs: Any) -> Any:
        given = (*args, *kwargs.values())  # by position or by name
        # A method of a subclass that takes more than that is its own; its parent's, which it calls, is wrapped.
        return around(method, self, given[0]) if len(given) == 1 else method(self, *args, **kwargs)

    setattr(wrapped, mark, True)
    setattr(cls, name, wrapped)

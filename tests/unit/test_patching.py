"""Methods that are wrapped: of one object, of a class, of a class and all its subclasses; and that all of it is undone."""

from __future__ import annotations

from typing import Any

import pytest

from headweights.patching import Patches, replaced


class Base:
    def do(self, number: int) -> int:
        """Adds one."""
        return number + 1


def test_a_method_of_one_object_is_replaced_while_a_block_runs() -> None:
    one, other = Base(), Base()
    with pytest.raises(KeyError), replaced(one, "do", lambda do, number: do(number) * 10):
        assert (one.do(1), one.do(number=2), other.do(1)) == (20, 30, 2)
        with replaced(one, "do", lambda do, number: -do(number)):
            assert one.do(1) == -20
        assert one.do(1) == 20
        raise KeyError
    assert one.do(1) == 2 and not vars(one)


def test_a_method_of_a_class_is_wrapped_until_it_is_undone() -> None:
    class Derived(Base): ...

    own, patches = Base.do, Patches()
    patches.wrap(Derived, "do", lambda do, self, number: do(self, number) * 10)
    patches.wrap(Derived, "do", lambda do, self, number: -do(self, number))
    assert (Derived().do(1), Base().do(1)) == (-20, 2)
    assert Derived.do.__doc__ == "Adds one."
    patches.undo()
    assert Derived().do(1) == 2 and "do" not in vars(Derived) and Base.do is own


def test_every_override_is_wrapped_once_later_subclasses_included() -> None:
    class Parent(Base):
        seen: list[str]

        def __init_subclass__(cls, **kwargs: Any) -> None:
            super().__init_subclass__(**kwargs)
            cls.seen = []

        def do(self, number: int) -> int:
            return super().do(number)

    class Early(Parent):
        def do(self, number: int) -> int:
            return super().do(number) * 2

    class Mixin(Parent): ...

    class Diamond(Early, Mixin):
        def do(self, number: int) -> int:
            return super().do(number) + 10

    calls = []
    patches = Patches()

    def noting(method: Any, instance: Any, number: int) -> Any:
        calls.append(type(instance).__name__)
        return method(instance, number)

    def wrap(cls: Any) -> None:
        if "do" in vars(cls):
            patches.wrap(cls, "do", noting)

    patches.in_every_subclass(Parent, wrap)

    class Late(Early):
        def do(self, number: int) -> int:
            return super().do(number) + 100

    class Silent(Late): ...

    assert (Parent().do(1), Early().do(1), Late().do(1), Silent().do(number=1)) == (2, 4, 104, 104)
    assert calls == ["Parent"] + ["Early"] * 2 + ["Late"] * 3 + ["Silent"] * 3
    assert Diamond().do(1) == 14
    assert calls[9:] == ["Diamond"] * 3
    assert Late.seen == []
    patches.undo()

    class Later(Early): ...

    assert (Later().do(1), Late().do(1), Later.seen) == (4, 104, [])
    assert len(calls) == 12

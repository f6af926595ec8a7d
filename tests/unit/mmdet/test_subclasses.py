"""A method wrapped in a class is wrapped in its subclasses too, those defined later included, and once."""

from __future__ import annotations

from typing import Any

from headweights.mmdet.subclasses import wrap_everywhere


def test_every_override_is_wrapped_once() -> None:
    class Base:
        seen: list[str]

        def __init_subclass__(cls, **kwargs: Any) -> None:
            super().__init_subclass__(**kwargs)
            cls.seen = []

        def do(self, number: int) -> int:
            """Adds one."""
            return number + 1

    class Early(Base):
        def do(self, number: int) -> int:
            return super().do(number) * 2

    calls = []

    def noting(method: Any, instance: Any, number: int) -> Any:
        calls.append(type(instance).__name__)
        return method(instance, number)

    wrap_everywhere(Base, "do", noting)
    wrap_everywhere(Base, "do", noting)

    class Late(Early):
        def do(self, number: int) -> int:
            return super().do(number) + 100

    class Silent(Late): ...

    assert (Base().do(1), Early().do(1), Late().do(1), Silent().do(number=1)) == (2, 4, 104, 104)
    assert calls == ["Base"] + ["Early"] * 2 + ["Late"] * 3 + ["Silent"] * 3
    assert Base.do.__doc__ == "Adds one."
    assert Late.seen == []

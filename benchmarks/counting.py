"""Counts what a training step does: its operators, the bytes it allocates, and its calls that wait for the device.

Unlike times, these numbers do not vary.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

# Operators whose result, or the shape of it, the host needs: on a GPU it waits until all that was queued before has run.
_WAITING = {
    "aten::_local_scalar_dense",  # item(), bool(), float(), int()
    "aten::nonzero",
    "aten::masked_select",
    "aten::equal",
    "aten::_unique2",
    "aten::unique_dim",
    "aten::unique_consecutive",
    "aten::unique_dim_consecutive",
    "aten::bincount",
}
_INDEXING = {"aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_", "aten::_unsafe_index"}
_MASKS = (torch.bool, torch.uint8)


class Counted(TorchDispatchMode):
    """Counts what PyTorch dispatches while the block runs, in a backward pass too.

    Calls that would make the host wait for a GPU are counted on the CPU: operators whose result or its shape the host needs
    (``item()`` and ``bool()``, ``nonzero``, ``masked_select``, ``unique``, ``bincount``, ``equal``, ``repeat_interleave`` by a
    tensor, indexing with a mask), and copies to the host (``cpu()``, ``to("cpu")``, ``tolist()``). Copies to the device, and what
    mmcv's compiled operators do inside, cannot be seen here. On a GPU, ``torch.cuda.set_sync_debug_mode`` finds all of them.

    Attributes:
        operators: How often each operator was called, by its name and overload, such as ``aten.mul.Tensor``.
        bytes: The bytes of all outputs with storage of their own: no views, and nothing that is written in place.
        waits: How often each kind of call that waits was made.
    """

    def __init__(self) -> None:
        super().__init__()
        self.operators: Counter[str] = Counter()
        self.bytes = 0
        self.waits: Counter[str] = Counter()
        self._copies = _CopiesToHost(self.waits)

    def __enter__(self) -> Counted:
        self._copies.__enter__()
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._copies.__exit__(*error)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        outputs = func(*args, **kwargs)
        self.operators[str(func)] += 1
        self.bytes += _new_bytes((args, kwargs), outputs)
        if (wait := _wait(func, args, kwargs)) is not None:
            self.waits[wait] += 1
        return outputs


class _CopiesToHost(TorchFunctionMode):
    """Counts copies to the host. A tensor of the CPU is not copied, so no operator is dispatched for them here."""

    def __init__(self, counts: Counter[str]) -> None:
        super().__init__()
        self.counts = counts

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in (Tensor.cpu, Tensor.tolist):
            self.counts[f"{func.__name__}()"] += 1
        # The device of another tensor is the CPU here, but not on a GPU: only its name in the source says that the host is meant.
        elif func is Tensor.to and any(isinstance(value, str) and value == "cpu" for value in (*args, *kwargs.values())):
            self.counts["cpu()"] += 1
        return func(*args, **kwargs)


def _wait(func: Any, args: Any, kwargs: Any) -> str | None:
    """What a call of an operator waits for, by name; None where it does not wait."""
    name = func._schema.name
    if name in _WAITING:
        return str(name.removeprefix("aten::"))
    if name in _INDEXING and any(isinstance(index, Tensor) and index.dtype in _MASKS for index in args[1]):
        return "indexing with a mask"
    if name == "aten::repeat_interleave" and kwargs.get("output_size") is None:
        return "repeat_interleave"
    return None


def _new_bytes(inputs: Any, outputs: Any) -> int:
    """The bytes of the outputs' storages that are not the inputs'."""
    given, made = (
        {
            leaf.untyped_storage().data_ptr(): leaf.untyped_storage().nbytes()
            for leaf in tree_leaves(tree)
            if isinstance(leaf, Tensor)
        }
        for tree in (inputs, outputs)
    )
    return sum(size for address, size in made.items() if address not in given)

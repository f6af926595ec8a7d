"""Every change that headweights makes to classes of mmdetection and mmengine, and the way to undo them.

What has an extension point uses it instead and changes no class: weighted heads, PISA's RoI head and mixing transforms are
registered subclasses that are swapped in.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from mmdet.datasets import BaseDetDataset
from mmdet.datasets.transforms import PackDetInputs, PackTrackInputs
from mmdet.models.detectors import BaseDetector
from mmdet.models.mot import BaseMOTModel
from mmdet.models.roi_heads.base_roi_head import BaseRoIHead
from mmengine.dataset import BaseDataset
from mmengine.runner import FlexibleRunner, Runner

from headweights.mmdet.data.annotations import keeping_loss_weights
from headweights.mmdet.data.packing import packing, packing_frames
from headweights.mmdet.heads.publishing import publishing_methods
from headweights.mmdet.hooks.prepare import preparing
from headweights.patching import Around, Patches


class Patch(NamedTuple):
    """One change to a class of somebody else.

    Args:
        owner: The class.
        why: Why no extension point would do.
        method: The method that is wrapped. Default: None, the loss methods of the class and of all its subclasses, present and
            future, which publish the batch.
        around: What wraps the method. It is called as ``around(method, self, *args, **kwargs)``.
    """

    owner: type
    why: str
    method: str | None = None
    around: Around | None = None


PATCHES = (
    Patch(BaseDetector, "a weighted head must know its images, and a detector passes it no metainfo"),
    Patch(BaseRoIHead, "a RoI head passes its bbox head no metainfo, and it may change the batch itself"),
    Patch(BaseMOTModel, "it is no BaseDetector, and addresses start at the outermost model"),
    Patch(Runner, "workers may start in here, before any hook is called", "build_train_loop", preparing),
    Patch(FlexibleRunner, "the same, in a class that is no Runner", "build_train_loop", preparing),
    Patch(BaseDataset, "data sets drop loss_weight as they read annotations, in __init__", "full_init", keeping_loss_weights),
    Patch(BaseDetDataset, "the same: it overrides the method and does not call it", "full_init", keeping_loss_weights),
    Patch(PackDetInputs, "it copies known keys only, also in pipelines without a hook", "__call__", packing),
    Patch(PackTrackInputs, "the same, for videos", "__call__", packing_frames),
)

_patches = Patches()
_is_installed = False


def install() -> None:
    """Makes the changes in :data:`PATCHES`. Importing ``headweights.mmdet`` does it; doing it twice does no harm."""
    global _is_installed
    if _is_installed:
        return
    _is_installed = True
    for patch in PATCHES:
        if patch.method is None or patch.around is None:
            _patches.in_every_subclass(patch.owner, _publish)
        else:
            _patches.wrap(patch.owner, patch.method, patch.around)


def uninstall() -> None:
    """Undoes all changes to classes. Weighted heads, hooks and transforms stay registered, and need :func:`install` to work."""
    global _is_installed
    _patches.undo()
    _is_installed = False


def _publish(cls: Any) -> None:
    for name, method in publishing_methods(cls):
        _patches.set(cls, name, method)

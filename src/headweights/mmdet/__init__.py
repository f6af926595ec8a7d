"""headweights for mmdetection 3.x: ``custom_imports = dict(imports=['headweights.mmdet'], allow_failed_imports=False)``.

Importing it registers the weighted heads, the hooks and the transforms, and makes the few changes to classes of mmdetection and
mmengine that :mod:`headweights.mmdet.install` lists. :func:`uninstall` undoes these.
"""

try:
    import mmcv.ops  # noqa: F401
    import mmdet.models  # noqa: F401
    import mmengine  # noqa: F401
except ImportError as error:
    raise ImportError(
        "headweights.mmdet needs mmdetection 3.x with mmengine and mmcv (with its compiled ops): "
        f"pip install --no-build-isolation 'headweights[mmdet]'. What failed: {error}"
    ) from error

from headweights.mmdet.classes.by_name import CocoDatasetByName, CocoMetricByName
from headweights.mmdet.data.add_field import AddFieldToImgMetas
from headweights.mmdet.data.load import LoadLossWeights, image_table
from headweights.mmdet.data.mixing import keep_origins, record_mix
from headweights.mmdet.data.sampler import SourceRateSampler
from headweights.mmdet.data.trace import PROVENANCE
from headweights.mmdet.heads.model_heads import forget_heads
from headweights.mmdet.heads.publishing import current_batch, publish_batch, publishes_batch
from headweights.mmdet.heads.weighted_head import WeightedHead
from headweights.mmdet.hooks.check_weights import CheckWeightsHook
from headweights.mmdet.hooks.loss_weights import LossWeightHook
from headweights.mmdet.install import install, uninstall
from headweights.mmdet.weighting.subclass import make_weighted, with_weight_per_image
from headweights.provenance.origin import Provenance

install()

__all__ = [
    "PROVENANCE",
    "AddFieldToImgMetas",
    "CheckWeightsHook",
    "CocoDatasetByName",
    "CocoMetricByName",
    "LoadLossWeights",
    "LossWeightHook",
    "Provenance",
    "SourceRateSampler",
    "WeightedHead",
    "current_batch",
    "forget_heads",
    "image_table",
    "install",
    "keep_origins",
    "make_weighted",
    "publish_batch",
    "publishes_batch",
    "record_mix",
    "uninstall",
    "with_weight_per_image",
]

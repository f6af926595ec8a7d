"""headweights for mmdetection 3.x: ``custom_imports = dict(imports=['headweights.mmdet'], allow_failed_imports=False)``.

Importing it registers the weighted heads and the transforms, makes mmdetection's detectors and RoI heads publish their batch
(:mod:`headweights.mmdet.batch`), and has every ``Runner`` check the weights before it trains (:mod:`headweights.mmdet.check`).
"""

try:
    import mmcv.ops  # noqa: F401
    import mmdet.models  # noqa: F401
    import mmengine  # noqa: F401
except ImportError as error:
    raise ImportError(
        "headweights.mmdet needs mmdetection 3.x with mmengine and mmcv (with its compiled ops): "
        f"pip install 'headweights[mmdet]'. What failed: {error}"
    ) from error

from headweights.mmdet.annotations import keep_loss_weights
from headweights.mmdet.batch import current_batch, publish_batch, publish_everywhere, publishes_batch
from headweights.mmdet.carry import PROVENANCE, Provenance, carry_everywhere
from headweights.mmdet.check import CheckWeightsHook, check_every_runner
from headweights.mmdet.heads import make_weighted, with_weight_per_image
from headweights.mmdet.hook import LossWeightHook, prepare_every_runner
from headweights.mmdet.load import LoadLossWeights, image_table
from headweights.mmdet.mixing import mix_everywhere, record_mix
from headweights.mmdet.model import WeightedHead
from headweights.mmdet.pisa import gate_pisa
from headweights.mmdet.transforms import AddFieldToImgMetas

publish_everywhere()
gate_pisa()
check_every_runner()
prepare_every_runner()
keep_loss_weights()
carry_everywhere()
mix_everywhere()

__all__ = [
    "PROVENANCE",
    "AddFieldToImgMetas",
    "CheckWeightsHook",
    "LoadLossWeights",
    "LossWeightHook",
    "Provenance",
    "WeightedHead",
    "current_batch",
    "image_table",
    "make_weighted",
    "publish_batch",
    "publishes_batch",
    "record_mix",
    "with_weight_per_image",
]

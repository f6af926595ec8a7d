"""headweights for Hugging Face transformers: :class:`LossWeights` for a ``Trainer`` or your own loop, and :func:`weigh` below."""

try:
    import accelerate  # noqa: F401
    import scipy  # noqa: F401
    import transformers  # noqa: F401
except ImportError as error:
    raise ImportError(
        "headweights.transformers needs transformers with accelerate and SciPy: pip install 'headweights[transformers]'. "
        f"What failed: {error}"
    ) from error

from headweights.transformers.install import uninstall
from headweights.transformers.training.loss_weights import LossWeights
from headweights.transformers.weighting.weigh import weigh

__all__ = ["LossWeights", "uninstall", "weigh"]

"""headweights for Hugging Face transformers: :class:`LossWeights` for a ``Trainer`` or your own loop, and :func:`weigh` below."""

from headweights.transformers.weighting.weigh import weigh

__all__ = ["weigh"]

"""``headweights check``: shows a config's weights and every problem with them, before any training."""

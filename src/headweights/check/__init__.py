"""``headweights check``: what a config's weights come to, and every problem with them, before any training."""

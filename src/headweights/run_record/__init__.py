"""What a training run writes down and `headweights report` reads. Nothing here imports torch.

`schema` defines the contents of ``headweights.json``. `write` writes the file when a training starts, and `read` reads it back,
even if it is damaged. `log_entries` defines the names of the entries that a run adds to its training log.
"""

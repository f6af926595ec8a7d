"""What a training run writes down and `headweights report` reads. Nothing here imports torch.

`schema` defines the contents of ``headweights.json``, and `file` writes and reads it. `log_entries` names the entries that a run
adds to its training log.
"""

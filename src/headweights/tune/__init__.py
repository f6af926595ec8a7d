"""`headweights tune`: searches the weights of a user's config with Optuna.

From the config to the block: `space` (what is searched, without any framework), `plan` (the data sets, heads and validation of a
config), `trial` (one training with mmengine's `Runner`), `storage` and `study` (Optuna's), `worker` (one trial after the other)
and `process` (a worker of its own), `progress` and `result` (what is shown) and `run` (all of it, in order).
"""

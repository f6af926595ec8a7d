"""`headweights tune`: searches the weights of a user's config, first by a screening, then with Optuna.

The modules: `space` is the search space, independent of any framework; `plan` reads data sets, heads and validation from a
config; `schedule` shortens its training; `trial` runs one training with mmengine's `Runner`; `study` wraps Optuna's studies and
storages; `screening` keeps a screening in a study; `worker` runs trials, and `process` runs a worker in its own process; `result`
prints and writes the output; `run` calls all of these.
"""

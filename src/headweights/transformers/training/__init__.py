"""Where headweights takes part in a training with transformers.

`loss_weights` is the callback with the block, for a ``Trainer`` and for a loop of your own. `mixture` puts its block, the data
sets and the losses of the model together. `contributions` measures what each data set gives, on a `measured_step`, with the
parameters of the `last_layers`. `run_record` describes a training for ``headweights report``, and `trainer_log` puts measurements
into the log of a ``Trainer``.
"""

"""Where headweights takes part in mmengine's training.

`loss_weights` is the hook with the block. `prepare` gives every runner its hooks and hands them the training data before workers
start; `check_weights` checks weights that were set by hand. `contributions` measures what each data set gives, on a
`captured_step`. `run_record` describes a run for `headweights report`, and `progress` says how far a runner is.
"""

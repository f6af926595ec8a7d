"""What `headweights demo` runs: a stock detector on a mix of data sets, without and with weights.

`demos` says what there is to run. `digits` and `crowns` make the data sets, which `scenes` writes to disk; the configs are in
`examples`. `run` calls everything in order and prints the results: `processes` starts the trainings side by side, `config` loads
an example config, `training` runs mmengine's `Runner`, and `picture` shows what the detectors find.
"""

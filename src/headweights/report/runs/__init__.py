"""Runs, read from the folders that trainings leave behind.

`readers` finds the reader for a folder: `mmengine_run` reads a work directory of mmengine, `trainer_run` an output directory of
transformers' `Trainer`. Both create a `Run` (`run`) with its curves (`log`). Another framework needs another `RunReader` only.
"""

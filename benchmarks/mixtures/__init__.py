"""The modules of `benchmarks/study.py` and `benchmarks/unlabelled.py`: data sets with errors, detectors, arms, runs, pages."""

"""The modules of `benchmarks/study.py`: data sets with different kinds of errors, detectors, arms, runs, statistics, page."""

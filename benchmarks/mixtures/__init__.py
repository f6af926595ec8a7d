"""The parts of `benchmarks/study.py`: data sets that are good at different things, detectors, arms, runs, statistics, page."""

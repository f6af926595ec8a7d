"""One thread a process: on detectors as narrow as these, and beside other work, more threads wait for each other."""

import torch

torch.set_num_threads(1)

"""For all tests: one thread for each worker, since two on a busy machine wait for each other."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # for the processes that tests start, too

import torch

torch.set_num_threads(1)

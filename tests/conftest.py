"""For all tests: one thread for each worker, since two on a busy machine wait for each other.

And nothing is written into the record of what whoever runs them has answered.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # for the processes that tests start, too
os.environ["VIZHELPERS_PROGRESS"] = "off"

import torch

torch.set_num_threads(1)

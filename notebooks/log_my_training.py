"""Log a training to TensorBoard: `python log_my_training.py`, then `tensorboard --logdir runs`."""

import torch
from torch import nn
from torch.utils.tensorboard import SummaryWriter

x, y = torch.randn(600, 20), torch.randint(0, 3, (600,))  # yours: inputs and class numbers
x[:, 0] += 3 * y
data = {"train": (x[:400], y[:400]), "val": (x[400:], y[400:])}
model = nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 3))  # yours
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
writers = {part: SummaryWriter(f"runs/first/{part}") for part in data}  # a new name each time
for epoch in range(30):
    model.train()
    for chosen in torch.randperm(400).split(32):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x[chosen]), y[chosen]).backward()
        optimizer.step()
    for name, weight in model.named_parameters():
        writers["train"].add_histogram(f"gradients/{name}", weight.grad, epoch)
    model.eval()
    for part, (inputs, labels) in data.items():
        with torch.no_grad():
            scores = model(inputs)
        loss, right = nn.functional.cross_entropy(scores, labels), scores.argmax(1) == labels
        writers[part].add_scalar("loss", loss, epoch)
        writers[part].add_scalar("accuracy", right.float().mean(), epoch)
for writer in writers.values():
    writer.close()  # writes what still waits

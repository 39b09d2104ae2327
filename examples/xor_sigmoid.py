"""XOR with the 2-5-5-1 network of the first post: sigmoid everywhere, binary cross entropy, lr 2.

Run it: python examples/xor_sigmoid.py [--quick]. It trains 100 networks (5 with --quick) and says how many learn.
"""

import sys

import numpy as np

import nn
from autodiff import sigmoid

X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=float)
Y = np.array([[0], [1], [1], [0]], dtype=float)


def train(seed: int, epochs: int = 10_000) -> tuple[nn.MLP, int]:
    """Train one network and stop as soon as it has learned; return it and the epochs used."""
    model = nn.MLP([2, 5, 5, 1], activation="sigmoid", seed=seed)  # Xavier weights, zero biases
    criterion = nn.BCEWithLogitsLoss()
    optimizer = nn.optim.SGD(model.parameters(), lr=2.0)
    for epoch in range(1, epochs + 1):
        loss = criterion(model(X), Y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if epoch % 100 == 0 and learned(model):
            break
    return model, epoch


def learned(model: nn.MLP) -> bool:
    """Say whether all four probabilities are within 0.1 of their target."""
    return bool((np.abs(sigmoid(model(X).data) - Y) < 0.1).all())


if __name__ == "__main__":
    seeds = 5 if "--quick" in sys.argv else 100
    runs = [train(seed) for seed in range(seeds)]
    count = sum(learned(model) for model, _ in runs)
    print(
        f"2-5-5-1 sigmoid, Xavier, lr 2: {count} of {seeds} seeds learn XOR, "
        f"in {np.median([epochs for _, epochs in runs]):.0f} epochs (median)"
    )
    sys.exit(count < 0.98 * seeds)

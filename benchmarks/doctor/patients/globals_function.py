"""Global arrays rebound in a function: row-major regression, tanh then linear, MSE with its 2/n, a literal rate."""

import numpy as np

W1 = np.zeros((3, 6))
b1 = np.zeros(6)
W2 = np.zeros((6, 3))
b2 = np.zeros(3)
history = []


def predict(X):
    return np.dot(np.tanh(np.dot(X, W1) + b1), W2) + b2


def mse(prediction, target):
    return np.mean((prediction - target) ** 2)


def train_step(X, Y):
    global W1, b1, W2, b2
    hidden = np.tanh(np.dot(X, W1) + b1)
    out = np.dot(hidden, W2) + b2
    loss = mse(out, Y)
    history.append(float(loss))

    # backward
    d_out = 2 * (out - Y) / Y.size
    grad_W2 = np.dot(hidden.T, d_out)
    grad_b2 = d_out.sum(axis=0)
    d_hidden = np.dot(d_out, W2.T) * (1 - hidden**2)
    grad_W1 = np.dot(X.T, d_hidden)
    grad_b1 = d_hidden.sum(axis=0)

    W2 = W2 - 0.05 * grad_W2
    b2 = b2 - 0.05 * grad_b2
    W1 = W1 - 0.05 * grad_W1
    b1 = b1 - 0.05 * grad_b1


BACKWARD = ("train_step",)


def patient(seed):
    """Call `train_step(X, Y)`."""
    global W1, b1, W2, b2
    rng = np.random.default_rng(seed)
    W1, b1 = rng.normal(size=(3, 6)), rng.normal(size=6)
    W2, b2 = rng.normal(size=(6, 3)), rng.normal(size=3)
    X = rng.normal(size=(7, 3))
    Y = np.stack([np.sin(X[:, 0]), X[:, 1] * X[:, 2], X[:, 0] + X[:, 2]], axis=1)
    return {
        "call": train_step,
        "args": (X, Y),
        "slots": [(globals(), key) for key in ("W1", "b1", "W2", "b2")],
        "cost": lambda X, Y: mse(predict(X), Y),
        "rate": 0.05,
        "lr": 0.05,
    }

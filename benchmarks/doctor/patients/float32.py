"""Everything in float32, the gradients kept as attributes and clipped probabilities in the loss: tanh, sigmoid."""

import numpy as np


class Network:
    def __init__(self, widths, dtype=np.float32, rng=None):
        self.dtype = dtype
        self.n = len(widths) - 1
        for i in range(self.n):
            setattr(self, f"W{i}", rng.normal(size=(widths[i], widths[i + 1])).astype(dtype))
            setattr(self, f"b{i}", np.zeros((1, widths[i + 1]), dtype=dtype))

    def forward(self, X):
        self.z0 = X @ self.W0 + self.b0
        self.a0 = np.tanh(self.z0)
        self.z1 = self.a0 @ self.W1 + self.b1
        self.a1 = np.tanh(self.z1)
        self.z2 = self.a1 @ self.W2 + self.b2
        self.a2 = 1 / (1 + np.exp(-self.z2))
        return self.a2

    def loss(self, p, y):
        p = np.clip(p, 1e-7, 1 - 1e-7)
        return -(y * np.log(p) + (1 - y) * np.log(1 - p)).mean()

    def backward(self, X, y):
        n = y.shape[0]
        self.d2 = (self.a2 - y) / n
        self.gW2 = self.a1.T @ self.d2
        self.gb2 = self.d2.sum(axis=0, keepdims=True)
        self.d1 = self.d2 @ self.W2.T * (1 - self.a1 * self.a1)
        self.gW1 = self.a0.T @ self.d1
        self.gb1 = self.d1.sum(axis=0, keepdims=True)
        self.d0 = self.d1 @ self.W1.T * (1 - self.a0 * self.a0)
        self.gW0 = X.T @ self.d0
        self.gb0 = self.d0.sum(axis=0, keepdims=True)

    def apply(self, lr):
        self.W0, self.b0 = self.W0 - lr * self.gW0, self.b0 - lr * self.gb0
        self.W1, self.b1 = self.W1 - lr * self.gW1, self.b1 - lr * self.gb1
        self.W2, self.b2 = self.W2 - lr * self.gW2, self.b2 - lr * self.gb2

    def train(self, X, y, lr=0.25, verbose=True):
        p = self.forward(X)
        value = self.loss(p, y)
        self.backward(X, y)
        self.apply(lr)
        if verbose:
            print(f"loss {value:.4f}")


BACKWARD = ("Network.backward", "Network.apply")


def patient(seed, dtype=np.float32):
    """Call `net.train(X, y)`."""
    rng = np.random.default_rng(seed)
    net = Network([3, 5, 5, 1], dtype, rng)
    X = rng.normal(size=(8, 3)).astype(dtype)
    y = (X[:, :1] * X[:, 1:2] > 0).astype(dtype)
    return {
        "call": net.train,
        "args": (X, y),
        "slots": [(net, f"{key}{i}") for i in range(3) for key in "Wb"],
        "cost": lambda X, y: net.loss(net.forward(X), y),
        "rate": 0.25,
    }


def exact(seed):
    """Make the same in float64, for finite differences."""
    return patient(seed, np.float64)

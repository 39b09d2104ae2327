"""Biases as an extra row of the weights, met by a column of ones: sigmoids, summed squared error, a global rate."""

import numpy as np

ALPHA = 0.2


def logistic(x):
    return 1 / (1 + np.exp(-x))


def with_ones(A):
    return np.hstack([A, np.ones((A.shape[0], 1))])


class XorNet:
    def __init__(self, rng):
        self.theta1 = rng.normal(size=(3, 4))
        self.theta2 = rng.normal(size=(5, 1))

    def forward(self, X):
        self.a0 = with_ones(X)
        self.a1 = with_ones(logistic(self.a0.dot(self.theta1)))
        self.a2 = logistic(self.a1.dot(self.theta2))
        return self.a2

    def cost(self, out, y):
        return 0.5 * ((y - out) ** 2).sum()

    def train_once(self, X, y):
        out = self.forward(X)
        self.J = self.cost(out, y)
        # backward
        delta2 = (out - y) * out * (1 - out)
        back = delta2.dot(self.theta2.T)[:, :-1]
        hidden = self.a1[:, :-1]
        delta1 = back * hidden * (1 - hidden)
        self.theta2 += -ALPHA * self.a1.T.dot(delta2)
        self.theta1 += -ALPHA * self.a0.T.dot(delta1)


BACKWARD = ("XorNet.train_once",)


def patient(seed):
    """Call `net.train_once(X, y)`."""
    rng = np.random.default_rng(seed)
    net = XorNet(rng)
    X = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    y = np.array([[0.0], [1.0], [1.0], [0.0]])
    return {
        "call": net.train_once,
        "args": (X, y),
        "slots": [(net, "theta1"), (net, "theta2")],
        "cost": lambda X, y: net.cost(net.forward(X), y),
        "rate": 0.2,
    }

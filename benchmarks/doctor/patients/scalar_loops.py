"""No matrix product at all: loops over samples, neurons and inputs, each weight updated by itself."""

import numpy as np


class Loops:
    def __init__(self, n_in, n_hidden, rng):
        self.n_in, self.n_hidden = n_in, n_hidden
        self.W1 = rng.normal(size=(n_hidden, n_in))
        self.b1 = rng.normal(size=n_hidden)
        self.W2 = rng.normal(size=n_hidden)
        self.b2 = rng.normal(size=1)

    def forward(self, x):
        h = np.zeros(self.n_hidden)
        for j in range(self.n_hidden):
            s = self.b1[j]
            for i in range(self.n_in):
                s += self.W1[j, i] * x[i]
            h[j] = np.tanh(s)
        o = self.b2[0]
        for j in range(self.n_hidden):
            o += self.W2[j] * h[j]
        return h, 1 / (1 + np.exp(-o))

    def cost(self, x, y):
        p = self.forward(x)[1]
        return -(y * np.log(p) + (1 - y) * np.log(1 - p))

    def train(self, X, Y, lr=0.1):
        cost = 0.0
        for x, y in zip(X, Y, strict=True):
            h, p = self.forward(x)
            cost += -(y * np.log(p) + (1 - y) * np.log(1 - p))
            # backward
            do = p - y
            dh = np.zeros(self.n_hidden)
            for j in range(self.n_hidden):
                dh[j] = do * self.W2[j] * (1 - h[j] ** 2)
            for j in range(self.n_hidden):
                self.W2[j] -= lr * do * h[j]
                self.b1[j] -= lr * dh[j]
                for i in range(self.n_in):
                    self.W1[j, i] -= lr * dh[j] * x[i]
            self.b2[0] -= lr * do
        return cost


BACKWARD = ("Loops.train",)


def patient(seed):
    """Call `net.train(X, Y)`."""
    rng = np.random.default_rng(seed)
    net = Loops(2, 3, rng)
    X, Y = rng.normal(size=(3, 2)), (rng.random(3) > 0.5).astype(float)
    return {
        "call": net.train,
        "args": (X, Y),
        "single": (X[:1], Y[:1]),
        "batch": (X[0], Y[0]),
        "slots": [(net, name) for name in ("W1", "b1", "W2", "b2")],
        "cost": net.cost,
        "steps": list(zip(X, Y, strict=True)),
        "rate": 0.1,
    }

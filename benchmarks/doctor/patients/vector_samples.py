"""Stochastic descent, one vector at a time: 1-D activations, np.outer, a tuple of activations, no loss computed."""

import numpy as np


class Perceptron:
    def __init__(self, *sizes):
        self.sizes = sizes
        self.W = [np.random.uniform(-1, 1, (sizes[i + 1], sizes[i])) for i in range(len(sizes) - 1)]
        self.B = [np.random.uniform(-1, 1, sizes[i + 1]) for i in range(len(sizes) - 1)]

    def activate(self, x):
        out = [np.asarray(x, dtype=float)]
        for W, B in zip(self.W, self.B, strict=True):
            out.append(1 / (1 + np.exp(-(W.dot(out[-1]) + B))))
        return out

    def learn(self, x, target, rate):
        out = self.activate(x)
        # backward
        delta = (out[-1] - target) * out[-1] * (1 - out[-1])
        for i in range(len(self.W) - 1, -1, -1):
            below = self.W[i].T.dot(delta) * out[i] * (1 - out[i])
            self.W[i] -= rate * np.outer(delta, out[i])
            self.B[i] -= rate * delta
            delta = below

    def train(self, samples, rate=0.5):
        for x, target in samples:
            self.learn(x, target, rate)


BACKWARD = ("Perceptron.learn",)


def patient(seed):
    """Call `net.train(samples)`; the loss of a sample is half the squared error."""
    np.random.seed(seed)
    net = Perceptron(2, 4, 4, 2)
    samples = [(np.random.randn(2), np.random.rand(2)) for _ in range(3)]
    return {
        "call": net.train,
        "args": (samples,),
        "single": (samples[:1],),
        "slots": [(net.W, i) for i in range(3)] + [(net.B, i) for i in range(3)],
        "cost": lambda x, t: 0.5 * np.sum((net.activate(x)[-1] - t) ** 2),
        "steps": samples,
        "rate": 0.5,
        "loss": "half_mse",
    }

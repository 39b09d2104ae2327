"""An autoencoder whose decoder is the encoder's transpose, so that one weight gets two contributions."""

import numpy as np


class Autoencoder:
    def __init__(self, n_visible, n_hidden, rng):
        self.W = rng.normal(size=(n_visible, n_hidden))
        self.b_hidden = rng.normal(size=n_hidden)
        self.b_visible = rng.normal(size=n_visible)

    def encode(self, x):
        return np.tanh(x @ self.W + self.b_hidden)

    def decode(self, h):
        return h @ self.W.T + self.b_visible

    def loss(self, r, x):
        return ((r - x) ** 2).sum(axis=1).mean()

    def step(self, x, lr):
        h = self.encode(x)
        r = self.decode(h)
        loss = self.loss(r, x)
        # backward
        d_r = 2 * (r - x) / len(x)
        d_h = d_r @ self.W
        d_pre = d_h * (1 - h**2)
        self.W -= lr * (x.T @ d_pre + d_r.T @ h)
        self.b_hidden -= lr * d_pre.sum(0)
        self.b_visible -= lr * d_r.sum(0)
        return loss


BACKWARD = ("Autoencoder.step",)


def patient(seed):
    """Call `model.step(x, 0.05)`."""
    rng = np.random.default_rng(seed)
    model = Autoencoder(5, 3, rng)
    x = rng.normal(size=(7, 5))
    return {
        "call": model.step,
        "args": (x, 0.05),
        "slots": [(model, key) for key in ("W", "b_hidden", "b_visible")],
        "cost": lambda x: model.loss(model.decode(model.encode(x)), x),
        "steps": [(x,)],
        "rate": 0.05,
    }

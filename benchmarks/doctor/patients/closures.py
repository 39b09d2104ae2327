"""Layers as pairs of functions that share their weights in a closure: nonlocal rebinding, softplus, row-major."""

from itertools import pairwise

import numpy as np


def dense(n_in, n_out, rng):
    W = rng.normal(0, 0.5, (n_in, n_out))
    b = rng.normal(0, 0.1, (1, n_out))
    saved = {}

    def forward(x):
        saved["x"] = x
        return x @ W + b

    def backward(g, lr):
        # backward
        nonlocal W, b
        gx = g @ W.T
        W = W - lr * (saved["x"].T @ g)
        b = b - lr * g.sum(0, keepdims=True)
        return gx

    return forward, backward


def activation(f, df):
    saved = {}

    def forward(x):
        saved["x"] = x
        return f(x)

    def backward(g, lr):
        # backward
        return g * df(saved["x"])

    return forward, backward


def softplus(x):
    return np.log1p(np.exp(x))


def d_softplus(x):
    return 1 / (1 + np.exp(-x))


def trainer(sizes, rng, lr=0.1):
    stack = []
    for i, (n_in, n_out) in enumerate(pairwise(sizes)):
        stack.append(dense(n_in, n_out, rng))
        if i < len(sizes) - 2:
            stack.append(activation(softplus, d_softplus))

    def predict(x):
        for forward, _ in stack:
            x = forward(x)
        return x

    def train(x, y, epochs=1):
        for _ in range(epochs):
            out = predict(x)
            loss = ((out - y) ** 2).mean()
            # backward
            g = 2 * (out - y) / y.size
            for _, backward in reversed(stack):
                g = backward(g, lr)
        return loss

    return train, predict, stack


BACKWARD = ("dense", "activation", "d_softplus", "trainer")


def patient(seed):
    """Call `train(x, y, 2)`."""
    rng = np.random.default_rng(seed)
    train, predict, stack = trainer([2, 4, 3, 2], rng)
    x, y = rng.normal(size=(6, 2)), rng.normal(size=(6, 2))
    cells = []
    for _, backward in stack[::2]:
        held = dict(zip(backward.__code__.co_freevars, backward.__closure__, strict=True))
        cells += [(held["W"], "cell_contents"), (held["b"], "cell_contents")]
    return {
        "call": train,
        "args": (x, y, 2),
        "single": (x, y, 1),
        "slots": cells,
        "cost": lambda x, y: ((predict(x) - y) ** 2).mean(),
        "steps": [(x, y)] * 2,
        "rate": 0.1,
    }

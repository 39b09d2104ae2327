"""Parameters, velocities and rate in module dictionaries: softmax, sigmoid, momentum that carries the rate."""

import numpy as np

params = {}
velocity = {}
config = {"lr": 0.1, "mu": 0.9}


def model(X):
    a = 1 / (1 + np.exp(-(params["U"] @ X + params["c"])))
    s = params["V"] @ a + params["d"]
    e = np.exp(s - s.max(axis=0))
    return a, e / e.sum(axis=0)


def cross_entropy(P, T):
    return -np.sum(T * np.log(P)) / T.shape[1]


def one_epoch(X, T):
    a, P = model(X)
    loss = cross_entropy(P, T)
    # backward
    m = X.shape[1]
    grads = {}
    ds = (P - T) / m
    grads["V"] = ds @ a.T
    grads["d"] = ds.sum(axis=1, keepdims=True)
    da = params["V"].T @ ds
    dz = da * a * (1 - a)
    grads["U"] = dz @ X.T
    grads["c"] = dz.sum(axis=1, keepdims=True)
    for k in params:
        velocity[k] = config["mu"] * velocity[k] - config["lr"] * grads[k]
        params[k] += velocity[k]
    return loss


def fit(X, T, epochs):
    return [one_epoch(X, T) for _ in range(epochs)]


BACKWARD = ("one_epoch",)


def patient(seed):
    """Call `fit(X, T, 2)`."""
    rng = np.random.default_rng(seed)
    shapes = {"U": (5, 4), "c": (5, 1), "V": (3, 5), "d": (3, 1)}
    for k, shape in shapes.items():
        params[k] = rng.normal(size=shape)
        velocity[k] = np.zeros(shape)
    X = rng.normal(size=(4, 9))
    T = np.eye(3)[:, rng.permutation(9) % 3]

    def expected(values, gradient):
        speed = [np.zeros(v.shape) for v in values]
        for _ in range(2):
            grads = gradient(values, (X, T))
            speed = [0.9 * v - 0.1 * g for v, g in zip(speed, grads, strict=True)]
            values = [p + v for p, v in zip(values, speed, strict=True)]
        return values

    return {
        "call": fit,
        "args": (X, T, 2),
        "single": (X, T, 1),
        "slots": [(params, k) for k in shapes],
        "cost": lambda X, T: cross_entropy(model(X)[1], T),
        "expected": expected,
        "rate": 0.1,
    }

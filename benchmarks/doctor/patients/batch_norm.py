"""Functions that return an output and a cache, a dictionary of parameters and one of gradients: batch norm, ReLU, class
numbers."""

import numpy as np


def affine_forward(x, w, b):
    return x.reshape(x.shape[0], -1).dot(w) + b, (x, w)


def affine_backward(dout, cache):
    x, w = cache
    dx = dout.dot(w.T).reshape(x.shape)
    dw = x.reshape(x.shape[0], -1).T.dot(dout)
    db = np.sum(dout, axis=0)
    return dx, dw, db


def batchnorm_forward(x, gamma, beta, running, eps=1e-5, momentum=0.9):
    mu, var = x.mean(axis=0), x.var(axis=0)
    running["mean"] = momentum * running.get("mean", np.zeros(x.shape[1])) + (1 - momentum) * mu
    running["var"] = momentum * running.get("var", np.zeros(x.shape[1])) + (1 - momentum) * var
    std = np.sqrt(var + eps)
    xhat = (x - mu) / std
    return gamma * xhat + beta, (xhat, gamma, std)


def batchnorm_backward(dout, cache):
    xhat, gamma, std = cache
    n = dout.shape[0]
    dgamma = np.sum(dout * xhat, axis=0)
    dbeta = np.sum(dout, axis=0)
    dxhat = dout * gamma
    dx = (1.0 / n) / std * (n * dxhat - np.sum(dxhat, axis=0) - xhat * np.sum(dxhat * xhat, axis=0))
    return dx, dgamma, dbeta


def softmax_loss(x, y):
    n = x.shape[0]
    shifted = x - np.max(x, axis=1, keepdims=True)
    log_probs = shifted - np.log(np.sum(np.exp(shifted), axis=1, keepdims=True))
    loss = -np.sum(log_probs[np.arange(n), y]) / n
    # backward
    dx = np.exp(log_probs)
    dx[np.arange(n), y] -= 1
    dx /= n
    return loss, dx


class Model:
    def __init__(self, rng):
        self.params = {
            "W1": rng.normal(size=(4, 5)),
            "gamma": rng.normal(1, 0.2, 5),
            "beta": rng.normal(0, 0.2, 5),
            "W2": rng.normal(size=(5, 3)),
            "b2": rng.normal(0, 0.2, 3),
        }
        self.running = {}

    def loss(self, X, y):
        p = self.params
        a = X.dot(p["W1"])
        n, norm = batchnorm_forward(a, p["gamma"], p["beta"], self.running)
        h = np.maximum(0, n)
        scores, fc = affine_forward(h, p["W2"], p["b2"])
        loss, dscores = softmax_loss(scores, y)
        # backward
        grads = {}
        dh, grads["W2"], grads["b2"] = affine_backward(dscores, fc)
        dn = dh * (n > 0)
        da, grads["gamma"], grads["beta"] = batchnorm_backward(dn, norm)
        grads["W1"] = X.T.dot(da)
        return loss, grads


def train(model, X, y, steps=2, learning_rate=0.1):
    history = []
    for _ in range(steps):
        loss, grads = model.loss(X, y)
        history.append(loss)
        # backward
        for name, w in model.params.items():
            model.params[name] = w - learning_rate * grads[name]
    return history


BACKWARD = ("affine_backward", "batchnorm_backward", "softmax_loss", "Model.loss", "train")


def patient(seed):
    """Call `train(model, X, y, 2)`."""
    rng = np.random.default_rng(seed)
    model = Model(rng)
    X, y = rng.normal(size=(8, 4)), rng.integers(0, 3, 8)
    return {
        "call": train,
        "args": (model, X, y, 2),
        "single": (model, X, y, 1),
        "batch": (X, y),
        "slots": [(model.params, name) for name in model.params],
        "cost": lambda X, y: model.loss(X, y)[0],
        "steps": [(X, y)] * 2,
        "rate": 0.1,
    }

"""A small convolutional net: im2col, layers in a dictionary, masks assigned through, softmax and loss in one layer."""

import numpy as np


def im2col(x, kh, kw):
    n, c, h, w = x.shape
    oh, ow = h - kh + 1, w - kw + 1
    col = np.zeros((n, c, kh, kw, oh, ow))
    for i in range(kh):
        for j in range(kw):
            col[:, :, i, j, :, :] = x[:, :, i : i + oh, j : j + ow]
    return col.transpose(0, 4, 5, 1, 2, 3).reshape(n * oh * ow, -1)


class Convolution:
    def __init__(self, W, b):
        self.W, self.b = W, b

    def forward(self, x):
        count, _, kh, kw = self.W.shape
        n, _, h, w = x.shape
        oh, ow = h - kh + 1, w - kw + 1
        self.col = im2col(x, kh, kw)
        out = np.dot(self.col, self.W.reshape(count, -1).T) + self.b
        return out.reshape(n, oh, ow, -1).transpose(0, 3, 1, 2)

    def backward(self, dout):
        # backward
        dout = dout.transpose(0, 2, 3, 1).reshape(-1, self.W.shape[0])
        self.db = np.sum(dout, axis=0)
        self.dW = np.dot(self.col.T, dout).transpose(1, 0).reshape(self.W.shape)


class Relu:
    def forward(self, x):
        self.mask = x <= 0
        out = x.copy()
        out[self.mask] = 0
        return out

    def backward(self, dout):
        # backward
        dout[self.mask] = 0
        return dout


class Affine:
    def __init__(self, W, b):
        self.W, self.b = W, b

    def forward(self, x):
        self.shape = x.shape
        self.x = x.reshape(x.shape[0], -1)
        return np.dot(self.x, self.W) + self.b

    def backward(self, dout):
        # backward
        dx = np.dot(dout, self.W.T)
        self.dW = np.dot(self.x.T, dout)
        self.db = np.sum(dout, axis=0)
        return dx.reshape(*self.shape)


class SoftmaxWithLoss:
    def forward(self, x, t):
        self.t = t
        x = x - np.max(x, axis=-1, keepdims=True)
        self.y = np.exp(x) / np.sum(np.exp(x), axis=-1, keepdims=True)
        n = self.y.shape[0]
        return -np.sum(np.log(self.y[np.arange(n), self.t])) / n

    def backward(self):
        # backward
        n = self.t.shape[0]
        dx = self.y.copy()
        dx[np.arange(n), self.t] -= 1
        return dx / n


class ConvNet:
    def __init__(self, rng):
        self.params = {
            "W1": 0.5 * rng.normal(size=(2, 1, 3, 3)),
            "b1": 0.1 * rng.normal(size=2),
            "W2": 0.5 * rng.normal(size=(8, 3)),
            "b2": 0.1 * rng.normal(size=3),
        }

    def loss(self, x, t):
        p = self.params
        self.layers = {
            "conv": Convolution(p["W1"], p["b1"]),
            "relu": Relu(),
            "affine": Affine(p["W2"], p["b2"]),
        }
        for layer in self.layers.values():
            x = layer.forward(x)
        self.last = SoftmaxWithLoss()
        return self.last.forward(x, t)

    def gradient(self, x, t):
        self.loss(x, t)
        # backward
        dout = self.last.backward()
        for layer in reversed(list(self.layers.values())):
            dout = layer.backward(dout)
        conv, affine = self.layers["conv"], self.layers["affine"]
        return {"W1": conv.dW, "b1": conv.db, "W2": affine.dW, "b2": affine.db}


def train_step(network, x, t, learning_rate=0.1):
    grads = network.gradient(x, t)
    # backward
    for key in ("W1", "b1", "W2", "b2"):
        network.params[key] -= learning_rate * grads[key]
    return network.loss(x, t)


BACKWARD = (
    "Convolution.backward",
    "Relu.backward",
    "Affine.backward",
    "SoftmaxWithLoss.backward",
    "ConvNet.gradient",
    "train_step",
)


def patient(seed):
    """Call `train_step(network, x, t)`."""
    rng = np.random.default_rng(seed)
    network = ConvNet(rng)
    x, t = rng.normal(size=(3, 1, 4, 4)), rng.integers(0, 3, 3)
    return {
        "call": train_step,
        "args": (network, x, t),
        "slots": [(network.params, key) for key in ("W1", "b1", "W2", "b2")],
        "cost": network.loss,
        "steps": [(x, t)],
        "rate": 0.1,
    }

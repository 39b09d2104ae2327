"""Nested layer objects with forward and backward, a loss object and an optimizer: ReLU, sigmoid, mean squared error."""

import numpy as np


class Dense:
    def __init__(self, n_in, n_out, rng):
        self.params = {"W": rng.normal(size=(n_in, n_out)), "b": np.zeros((1, n_out))}
        self.grads = {}

    def forward(self, x):
        self.x = x
        return x @ self.params["W"] + self.params["b"]

    def backward(self, grad):
        self.grads["W"] = self.x.T @ grad
        self.grads["b"] = grad.sum(axis=0, keepdims=True)
        return grad @ self.params["W"].T


class ReLU:
    def forward(self, x):
        self.mask = x > 0
        return x * self.mask

    def backward(self, grad):
        return grad * self.mask


class Sigmoid:
    def forward(self, x):
        self.out = 1 / (1 + np.exp(-x))
        return self.out

    def backward(self, grad):
        return grad * self.out * (1 - self.out)


class MSELoss:
    def forward(self, pred, target):
        self.diff = pred - target
        return np.mean(self.diff**2)

    def backward(self):
        return 2 * self.diff / self.diff.size


class SGD:
    def __init__(self, layers, lr):
        self.layers = layers
        self.lr = lr

    def step(self):
        for layer in self.layers:
            for name in getattr(layer, "params", {}):
                layer.params[name] -= self.lr * layer.grads[name]


class Trainer:
    def __init__(self, layers, loss, optimizer):
        self.layers = layers
        self.loss = loss
        self.optimizer = optimizer

    def predict(self, x):
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def train_step(self, x, t):
        value = self.loss.forward(self.predict(x), t)
        # backward
        grad = self.loss.backward()
        for layer in reversed(self.layers):
            grad = layer.backward(grad)
        self.optimizer.step()
        return value


BACKWARD = (
    "Dense.backward", "ReLU.backward", "Sigmoid.backward", "MSELoss.backward", "SGD.step", "Trainer.train_step",
)  # fmt: skip


def patient(seed):
    """Call `trainer.train_step(x, t)`."""
    rng = np.random.default_rng(seed)
    dense = [Dense(3, 6, rng), Dense(6, 6, rng), Dense(6, 3, rng)]
    layers = [dense[0], ReLU(), dense[1], Sigmoid(), dense[2], Sigmoid()]
    trainer = Trainer(layers, MSELoss(), SGD(layers, 0.3))
    x = rng.normal(size=(6, 3))
    t = rng.uniform(size=(6, 3))
    return {
        "call": trainer.train_step,
        "args": (x, t),
        "slots": [(layer.params, key) for layer in dense for key in ("W", "b")],
        "cost": lambda x, t: trainer.loss.forward(trainer.predict(x), t),
        "rate": 0.3,
    }

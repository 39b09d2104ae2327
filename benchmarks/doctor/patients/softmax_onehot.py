"""One-hot softmax with cross entropy and L2 decay in the loss: lists of weights, ReLU, row-major, in place."""

import numpy as np


class Classifier:
    def __init__(self, sizes, lr=0.2, decay=0.01, rng=None):
        self.lr = lr
        self.decay = decay
        self.W = [rng.normal(size=(a, b)) for a, b in zip(sizes[:-1], sizes[1:], strict=True)]  # noqa: RUF007
        self.b = [rng.normal(size=(1, b)) for b in sizes[1:]]

    def forward(self, X):
        self.inputs = []
        self.pre = []
        h = X
        for i in range(len(self.W)):
            self.inputs.append(h)
            z = h @ self.W[i] + self.b[i]
            self.pre.append(z)
            h = np.maximum(z, 0) if i < len(self.W) - 1 else self.softmax(z)
        return h

    @staticmethod
    def softmax(z):
        e = np.exp(z - np.max(z, axis=1, keepdims=True))
        return e / np.sum(e, axis=1, keepdims=True)

    def loss(self, probs, T):
        data = -np.sum(T * np.log(probs)) / T.shape[0]
        return data + 0.5 * self.decay * sum(np.sum(w * w) for w in self.W)

    def fit_batch(self, X, T):
        probs = self.forward(X)
        self.last_loss = self.loss(probs, T)
        # backward
        delta = (probs - T) / T.shape[0]
        grads_W = [None] * len(self.W)
        grads_b = [None] * len(self.W)
        for i in reversed(range(len(self.W))):
            grads_W[i] = self.inputs[i].T @ delta + self.decay * self.W[i]
            grads_b[i] = np.sum(delta, axis=0, keepdims=True)
            if i > 0:
                delta = (delta @ self.W[i].T) * (self.pre[i - 1] > 0)
        for i in range(len(self.W)):
            self.W[i] -= self.lr * grads_W[i]
            self.b[i] -= self.lr * grads_b[i]


BACKWARD = ("Classifier.fit_batch",)


def patient(seed):
    """Call `model.fit_batch(X, T)`."""
    rng = np.random.default_rng(seed)
    model = Classifier([4, 7, 7, 3], rng=rng)
    X = rng.normal(size=(10, 4))
    T = np.eye(3)[rng.permutation(10) % 3]
    return {
        "call": model.fit_batch,
        "args": (X, T),
        "slots": [(values, i) for i in range(3) for values in (model.W, model.b)],
        "cost": lambda X, T: model.loss(model.forward(X), T),
        "rate": 0.2,
    }

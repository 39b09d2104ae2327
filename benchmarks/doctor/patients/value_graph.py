"""An own little autograd: values that remember how they were made, a closure for each backward step."""

import numpy as np


class Value:
    def __init__(self, data, parents=(), back=None):
        self.data, self.grad, self.parents, self.back = np.asarray(data, dtype=float), None, parents, back

    def __matmul__(self, other):
        out = Value(self.data @ other.data, (self, other))

        def back():
            # backward
            self.gather(out.grad @ other.data.T)
            other.gather(self.data.T @ out.grad)

        out.back = back
        return out

    def __add__(self, other):
        out = Value(self.data + other.data, (self, other))

        def back():
            # backward
            self.gather(out.grad)
            other.gather(out.grad.sum(0))

        out.back = back
        return out

    def tanh(self):
        out = Value(np.tanh(self.data), (self,))

        def back():
            # backward
            self.gather(out.grad * (1 - out.data**2))

        out.back = back
        return out

    def mse(self, target):
        out = Value(np.mean((self.data - target) ** 2), (self,))

        def back():
            # backward
            self.gather(2 * (self.data - target) / target.size)

        out.back = back
        return out

    def gather(self, g):
        self.grad = g if self.grad is None else self.grad + g

    def backward(self):
        order, seen = [], set()

        def visit(value):
            if value not in seen:
                seen.add(value)
                for parent in value.parents:
                    visit(parent)
                order.append(value)

        visit(self)
        self.grad = 1.0
        for value in reversed(order):
            if value.back:
                value.back()


class Net:
    def __init__(self, rng):
        self.params = [Value(rng.normal(size=shape)) for shape in ((3, 4), (4,), (4, 2), (2,))]

    def loss(self, x, target):
        w1, b1, w2, b2 = self.params
        return ((Value(x) @ w1 + b1).tanh() @ w2 + b2).mse(target)

    def train(self, x, target, lr=0.1):
        loss = self.loss(x, target)
        for p in self.params:
            p.grad = None
        loss.backward()
        # backward
        for p in self.params:
            p.data -= lr * p.grad
        return loss.data


BACKWARD = ("Value.__matmul__", "Value.__add__", "Value.tanh", "Value.mse", "Value.gather", "Net.train")


def patient(seed):
    """Call `net.train(x, target)`."""
    rng = np.random.default_rng(seed)
    net = Net(rng)
    x, target = rng.normal(size=(5, 3)), rng.normal(size=(5, 2))
    return {
        "call": net.train,
        "args": (x, target),
        "slots": [(p, "data") for p in net.params],
        "cost": lambda x, target: net.loss(x, target).data,
        "steps": [(x, target)],
        "rate": 0.1,
    }

"""A list of tanh and sigmoid layers whose gradients are right: the doctor says so, and what it has checked.

Run it: python examples/doctor_tanh_layers.py
"""

import numpy as np

from autodiff import doctor


def tanh_slope(z):
    return 1 - np.square(np.tanh(z))


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def sigmoid_slope(z):
    return sigmoid(z) * (1 - sigmoid(z))


def log_loss_slope(target, a):
    return (a - target) / (a * (1 - a))


class Layer:
    kinds = {"tanh": (np.tanh, tanh_slope), "sigmoid": (sigmoid, sigmoid_slope)}  # noqa: RUF012
    rate = 0.1

    def __init__(self, inputs, units, kind):
        self.W = np.random.randn(units, inputs)
        self.b = np.zeros((units, 1))
        self.function, self.slope = self.kinds[kind]

    def forward(self, a):
        self.a_in = a
        self.z = np.dot(self.W, a) + self.b
        return self.function(self.z)

    def backward(self, d_out):
        m = d_out.shape[1]
        dz = d_out * self.slope(self.z)
        d_in = np.dot(self.W.T, dz)
        self.W = self.W - self.rate * np.dot(dz, self.a_in.T) / m
        self.b = self.b - self.rate * np.sum(dz, axis=1, keepdims=True) / m
        return d_in


def train(layers, x, target, epochs):
    costs = []
    for _ in range(epochs):
        a = x
        for layer in layers:
            a = layer.forward(a)
        costs.append(-np.mean(target * np.log(a) + (1 - target) * np.log(1 - a)))
        d = log_loss_slope(target, a)
        for layer in reversed(layers):
            d = layer.backward(d)
    return costs


if __name__ == "__main__":
    np.random.seed(0)
    network = [Layer(2, 3, "tanh"), Layer(3, 1, "sigmoid")]
    x = np.array([[0, 0, 1, 1], [0, 1, 0, 1]])
    y = np.array([[0, 1, 1, 0]])
    print(doctor.examine(train, network, x, y, 1))

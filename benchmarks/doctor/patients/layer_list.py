"""A list of layers with feedforward and backprop: column-major, tanh and sigmoid, rebinding, a rate on the class."""

import numpy as np


def tanh(x):
    return np.tanh(x)


def d_tanh(x):
    return 1 - np.square(np.tanh(x))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def d_sigmoid(x):
    return (1 - sigmoid(x)) * sigmoid(x)


def logloss(y, a):
    return -(y * np.log(a) + (1 - y) * np.log(1 - a))


def d_logloss(y, a):
    return (a - y) / (a * (1 - a))


class Layer:
    activations = {"tanh": (tanh, d_tanh), "sigmoid": (sigmoid, d_sigmoid)}  # noqa: RUF012
    learning_rate = 0.1

    def __init__(self, inputs, neurons, activation):
        self.W = np.random.randn(neurons, inputs)
        self.b = np.zeros((neurons, 1))
        self.act, self.d_act = self.activations.get(activation)

    def feedforward(self, A_prev):
        self.A_prev = A_prev
        self.Z = np.dot(self.W, self.A_prev) + self.b
        self.A = self.act(self.Z)
        return self.A

    def backprop(self, dA):
        dZ = np.multiply(self.d_act(self.Z), dA)
        dW = 1 / dZ.shape[1] * np.dot(dZ, self.A_prev.T)
        db = 1 / dZ.shape[1] * np.sum(dZ, axis=1, keepdims=True)
        dA_prev = np.dot(self.W.T, dZ)
        self.W = self.W - self.learning_rate * dW
        self.b = self.b - self.learning_rate * db
        return dA_prev


def train(layers, x, y, epochs):
    m = y.shape[1]
    costs = []
    for _ in range(epochs):
        A = x
        for layer in layers:
            A = layer.feedforward(A)
        cost = 1 / m * np.sum(logloss(y, A))
        costs.append(cost)
        # backward
        dA = d_logloss(y, A)
        for layer in reversed(layers):
            dA = layer.backprop(dA)
    return costs


BACKWARD = ("d_tanh", "d_sigmoid", "d_logloss", "Layer.backprop", "train")


def patient(seed):
    """Call `train(layers, x, y, 1)`."""
    np.random.seed(seed)
    layers = [Layer(2, 3, "tanh"), Layer(3, 4, "tanh"), Layer(4, 1, "sigmoid")]
    x = np.array([[0, 0, 1, 1], [0, 1, 0, 1]])
    y = np.array([[0, 1, 1, 0]])

    def cost(x, y):
        A = x
        for layer in layers:
            A = layer.feedforward(A)
        return np.sum(logloss(y, A)) / y.shape[1]

    return {
        "call": train,
        "args": (layers, x, y, 1),
        "slots": [(layer, key) for layer in layers for key in ("W", "b")],
        "cost": cost,
        "steps": [(x, y)],
        "rate": 0.1,
    }

"""Forward and backward pass as methods: row-major, ReLU then sigmoid, no biases, the rate an attribute."""

# ruff: noqa: N802

import numpy as np


def ReLU(x):
    return np.maximum(0, x)


def d_ReLU(x):
    return np.where(x > 0, 1, 0)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def d_sigmoid(x):
    return sigmoid(x) * (1 - sigmoid(x))


def binary_cross_entropy(y, y_pred):
    return np.mean(-(y * np.log(y_pred) + (1 - y) * np.log(1 - y_pred)))


def d_binary_cross_entropy(y, y_pred):
    return np.where(y == 1, -1 / y_pred, 1 / (1 - y_pred)) / y.shape[0]


class NeuralNetwork:
    def __init__(self, input_size, hidden_size, output_size, learning_rate=0.1):
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.output_size = output_size
        self.learning_rate = learning_rate
        self.weights_hidden = np.random.normal(size=(input_size, hidden_size))
        self.weights_output = np.random.normal(size=(hidden_size, output_size))

    def forward_pass(self, X):
        self.input_hidden = np.dot(X, self.weights_hidden)
        self.output_hidden = ReLU(self.input_hidden)
        self.input_output = np.dot(self.output_hidden, self.weights_output)
        return sigmoid(self.input_output)

    def backward_pass(self, X, y, y_pred):
        output_delta = d_binary_cross_entropy(y, y_pred) * d_sigmoid(self.input_output)
        hidden_error = output_delta.dot(self.weights_output.T)
        hidden_delta = hidden_error * d_ReLU(self.output_hidden)
        self.weights_output -= self.learning_rate * self.output_hidden.T.dot(output_delta)
        self.weights_hidden -= self.learning_rate * X.T.dot(hidden_delta)

    def train(self, X, y, epochs):
        for epoch in range(epochs):
            output = self.forward_pass(X)
            loss = binary_cross_entropy(y, output)
            self.backward_pass(X, y, output)
            print(f"Epoch {epoch + 1}/{epochs} - Loss: {loss:.4f}")


BACKWARD = ("d_ReLU", "d_sigmoid", "d_binary_cross_entropy", "NeuralNetwork.backward_pass")


def patient(seed):
    """Call `net.train(X, y, 1)`."""
    np.random.seed(seed)
    net = NeuralNetwork(2, 8, 1)
    X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    y = np.array([[0], [1], [1], [0]])
    return {
        "call": net.train,
        "args": (X, y, 1),
        "slots": [(net, "weights_hidden"), (net, "weights_output")],
        "cost": lambda X, y: binary_cross_entropy(y, net.forward_pass(X)),
        "rate": 0.1,
    }

"""Layer objects in a network class: column-major, three sigmoids, mean binary cross entropy, step 1/epoch."""

import numpy as np


class Layer:
    def __init__(self, neurons, inputs):
        self.weights = np.random.randn(neurons, inputs)
        self.bias = np.random.randn(neurons, 1)


class NeuralNetwork:
    def __init__(self, layer1, layer2, layer3):
        self.layer1 = layer1
        self.layer2 = layer2
        self.layer3 = layer3

    def sigmoid(self, x):
        return 1 / (1 + np.exp(-x))

    def derivative_sigmoid(self, x):
        return x * (1 - x)

    def get_cost_value(self, Y_hat, Y):
        m = Y_hat.shape[1]
        cost = -1 / m * (np.dot(Y, np.log(Y_hat).T) + np.dot(1 - Y, np.log(1 - Y_hat).T))
        return np.squeeze(cost)

    def get_cost_derivative(self, Y_hat, Y):
        return -(np.divide(Y, Y_hat) - np.divide(1 - Y, 1 - Y_hat))

    def train(self, inputs, labels, epochs):
        m = labels.shape[1]
        for epoch in range(1, epochs + 1):
            z1 = np.dot(self.layer1.weights, inputs) + self.layer1.bias
            a1 = self.sigmoid(z1)
            z2 = np.dot(self.layer2.weights, a1) + self.layer2.bias
            a2 = self.sigmoid(z2)
            z3 = np.dot(self.layer3.weights, a2) + self.layer3.bias
            a3 = self.sigmoid(z3)
            cost = self.get_cost_value(a3, labels)
            print("cost", cost, a3.shape)

            # backward
            layer3_delta = self.derivative_sigmoid(a3) * self.get_cost_derivative(a3, labels)
            Dw_layer3 = 1 / m * np.dot(layer3_delta, a2.T)
            Db_layer3 = 1 / m * np.sum(layer3_delta, axis=1, keepdims=True)

            layer2_delta = np.dot(self.layer3.weights.T, layer3_delta) * self.derivative_sigmoid(a2)
            Dw_layer2 = 1 / m * np.dot(layer2_delta, a1.T)
            Db_layer2 = 1 / m * np.sum(layer2_delta, axis=1, keepdims=True)

            layer1_delta = np.dot(self.layer2.weights.T, layer2_delta) * self.derivative_sigmoid(a1)
            Dw_layer1 = 1 / m * np.dot(layer1_delta, inputs.T)
            Db_layer1 = 1 / m * np.sum(layer1_delta, axis=1, keepdims=True)

            self.layer1.weights -= (1 / epoch) * Dw_layer1
            self.layer2.weights -= (1 / epoch) * Dw_layer2
            self.layer3.weights -= (1 / epoch) * Dw_layer3
            self.layer1.bias -= (1 / epoch) * Db_layer1
            self.layer2.bias -= (1 / epoch) * Db_layer2
            self.layer3.bias -= (1 / epoch) * Db_layer3

    def predict(self, inputs):
        a1 = self.sigmoid(np.dot(self.layer1.weights, inputs) + self.layer1.bias)
        a2 = self.sigmoid(np.dot(self.layer2.weights, a1) + self.layer2.bias)
        return self.sigmoid(np.dot(self.layer3.weights, a2) + self.layer3.bias)


BACKWARD = ("NeuralNetwork.train", "NeuralNetwork.derivative_sigmoid", "NeuralNetwork.get_cost_derivative")


def patient(seed):
    """Call `net.train(X, y, 1)`."""
    np.random.seed(seed)
    net = NeuralNetwork(Layer(5, 2), Layer(5, 5), Layer(1, 5))
    X = np.array([[0.0, 0, 1, 1], [0, 1, 0, 1]])
    y = np.array([[0, 1, 1, 0]])
    layers = (net.layer1, net.layer2, net.layer3)
    return {
        "call": net.train,
        "args": (X, y, 1),
        "slots": [(layer, key) for layer in layers for key in ("weights", "bias")],
        "cost": lambda X, y: net.get_cost_value(net.predict(X), y),
        "rate": 1.0,
    }

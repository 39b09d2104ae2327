"""A sigmoid network without biases whose last delta belongs to another loss: the doctor names the line.

The cost is the cross entropy, but the delta, the error times the output's slope, is that of the squared error.

Run it: python examples/doctor_error_times_slope.py
"""

import numpy as np

from autodiff import doctor


class Layer:
    def __init__(self, units, inputs):
        self.weights = np.random.randn(units, inputs)


class Network:
    def __init__(self, layers):
        self.layers = layers

    def sigmoid(self, z):
        return 1 / (1 + np.exp(-z))

    def transfer_slope(self, output):
        return output * (1.0 - output)

    def cost(self, out, expected):
        return -np.mean(expected * np.log(out) + (1 - expected) * np.log(1 - out))

    def train(self, inputs, expected, rate):
        outputs = [inputs]
        for layer in self.layers:
            outputs.append(self.sigmoid(np.dot(layer.weights, outputs[-1])))
        self.history = self.cost(outputs[-1], expected)
        count = expected.shape[1]
        error = (outputs[-1] - expected) * self.transfer_slope(outputs[-1]) / count
        for i in reversed(range(len(self.layers))):
            layer = self.layers[i]
            gradient = np.dot(error, outputs[i].T)
            error = np.dot(layer.weights.T, error) * self.transfer_slope(outputs[i])
            layer.weights = layer.weights - rate * gradient


if __name__ == "__main__":
    np.random.seed(1)
    net = Network([Layer(5, 2), Layer(5, 5), Layer(1, 5)])
    x = np.array([[0, 0, 1, 1], [0, 1, 0, 1]])
    y = np.array([[0, 1, 1, 0]])
    print(doctor.examine(net.train, x, y, 0.5))

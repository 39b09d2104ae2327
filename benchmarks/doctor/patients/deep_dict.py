"""Any number of layers in a dictionary keyed by number, caches in a list, ReLU masked in place, column-major."""

import numpy as np


def relu(Z):
    return np.maximum(0, Z), Z


def sigmoid(Z):
    A = 1 / (1 + np.exp(-Z))
    return A, Z


def relu_backward(dA, Z):
    dZ = np.array(dA, copy=True)
    dZ[Z <= 0] = 0
    return dZ


def sigmoid_backward(dA, Z):
    s = 1 / (1 + np.exp(-Z))
    dZ = dA * s * (1 - s)
    return dZ


def linear_activation_forward(A_prev, W, b, activation):
    Z = W.dot(A_prev) + b
    A, activation_cache = sigmoid(Z) if activation == "sigmoid" else relu(Z)
    return A, ((A_prev, W, b), activation_cache)


def linear_backward(dZ, cache):
    A_prev, W, _ = cache
    m = A_prev.shape[1]
    dW = 1.0 / m * np.dot(dZ, A_prev.T)
    db = 1.0 / m * np.sum(dZ, axis=1, keepdims=True)
    dA_prev = np.dot(W.T, dZ)
    return dA_prev, dW, db


class DeepNet:
    def __init__(self, layer_dims, learning_rate=0.0075):
        self.L = len(layer_dims) - 1
        self.learning_rate = learning_rate
        self.parameters = {}
        for i in range(1, self.L + 1):
            self.parameters["W" + str(i)] = 0.5 * np.random.randn(layer_dims[i], layer_dims[i - 1])
            self.parameters["b" + str(i)] = np.random.randn(layer_dims[i], 1)

    def forward(self, X):
        caches = []
        A = X
        for i in range(1, self.L + 1):
            kind = "sigmoid" if i == self.L else "relu"
            A, cache = linear_activation_forward(A, self.parameters[f"W{i}"], self.parameters[f"b{i}"], kind)
            caches.append(cache)
        return A, caches

    def cost(self, AL, Y):
        m = Y.shape[1]
        return np.squeeze((1.0 / m) * (-np.dot(Y, np.log(AL).T) - np.dot(1 - Y, np.log(1 - AL).T)))

    def backward(self, AL, Y, caches):
        grads = {}
        dA = -(np.divide(Y, AL) - np.divide(1 - Y, 1 - AL))
        for i in range(self.L, 0, -1):
            linear_cache, Z = caches[i - 1]
            dZ = sigmoid_backward(dA, Z) if i == self.L else relu_backward(dA, Z)
            dA, grads["dW" + str(i)], grads["db" + str(i)] = linear_backward(dZ, linear_cache)
        return grads

    def update(self, grads):
        for i in range(1, self.L + 1):
            self.parameters["W" + str(i)] -= self.learning_rate * grads["dW" + str(i)]
            self.parameters["b" + str(i)] -= self.learning_rate * grads["db" + str(i)]

    def train(self, X, Y, num_iterations):
        costs = []
        for i in range(num_iterations):
            AL, caches = self.forward(X)
            cost = self.cost(AL, Y)
            grads = self.backward(AL, Y, caches)
            self.update(grads)
            if i % 100 == 0:
                print(f"Cost after iteration {i}: {cost}")
                costs.append(cost)
        return costs


BACKWARD = ("relu_backward", "sigmoid_backward", "linear_backward", "DeepNet.backward", "DeepNet.update")


def patient(seed):
    """Call `net.train(X, Y, 1)`."""
    np.random.seed(seed)
    net = DeepNet([3, 5, 5, 5, 1])
    X = np.random.randn(3, 8)
    Y = (X[:1] > X[1:2]).astype(int)
    return {
        "call": net.train,
        "args": (X, Y, 1),
        "slots": [(net.parameters, f"{key}{i}") for i in range(1, 5) for key in "Wb"],
        "cost": lambda X, Y: net.cost(net.forward(X)[0], Y),
        "rate": 0.0075,
    }

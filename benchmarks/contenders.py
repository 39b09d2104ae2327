"""The same training step, written once for each framework in the form its own users would write it.

A step is: forward through sigmoid hidden layers, mean binary cross entropy, backward, plain SGD. Every
contender is a function `Problem -> Contender`; it raises ImportError where its framework is not installed.
Steps with momentum, Adam or dropout are in `variants.py`, what runs in another process in `elsewhere.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from elsewhere import elsewhere

#: What the variants of the step add.
MOMENTUM, DROPPED = 0.9, 0.2

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Problem:
    """Layer widths, batch, dtype and learning rate, and what follows from the seed.

    `weights` holds (W, b) per layer, W of shape (out, in), b of (out,); `x` is (batch, in), `y` (batch, 1).
    `kind` is "sgd", or one of those in `variants.py`.
    """

    layers: tuple[int, ...]
    batch: int
    dtype: str
    lr: float
    weights: list[tuple[Array, Array]]
    x: Array
    y: Array
    kind: str = "sgd"

    @classmethod
    def make(cls, layers: tuple[int, ...], batch: int, dtype: str, lr: float, kind: str = "sgd") -> Problem:
        rng = np.random.default_rng(0)
        weights = []
        for n_in, n_out in pairwise(layers):
            w = rng.normal(0.0, math.sqrt(2.0 / (n_in + n_out)), (n_out, n_in))
            weights.append((w.astype(dtype), rng.normal(0.0, 0.1, n_out).astype(dtype)))
        x = rng.normal(size=(batch, layers[0])).astype(dtype)
        y = rng.integers(0, 2, (batch, 1)).astype(dtype)
        return cls(layers, batch, dtype, lr, weights, x, y, kind)

    def copied_weights(self) -> list[tuple[Array, Array]]:
        return [(w.copy(), b.copy()) for w, b in self.weights]


@dataclass(frozen=True)
class Contender:
    """A framework ready to train: `step()` trains once and returns the loss, which `read` turns into a float.

    `weights()` gives [W1, b1, W2, b2, …]; it is None where the row is a yardstick that trains nothing.
    `forget()` drops the gradients that a framework keeps between steps. `many(n)` makes n steps and returns the last
    loss, where a framework has a quicker way than n calls. `made` is what a framework made of the step.
    """

    step: Callable[[], Any]
    weights: Callable[[], list[Array]] | None
    read: Callable[[Any], float] = float
    forget: Callable[[], object] = lambda: None
    many: Callable[[int], Any] | None = None
    made: Any = None

    def steps(self, number: int) -> Any:
        """Make `number` steps, and return the last loss."""
        if self.many is not None:
            return self.many(number)
        step = self.step
        for _ in range(number):
            loss = step()
        return loss


def hand_written(problem: Problem) -> Contender:
    """Plain numpy as in the posts: samples in columns, each delta and the cost's derivative spelt out."""
    layers = [(w, b[:, None]) for w, b in problem.copied_weights()]
    inputs, labels, lr = problem.x.T.copy(), problem.y.T.copy(), problem.lr

    def sigmoid(z: Array) -> Array:
        return 1 / (1 + np.exp(-z))

    def derivative_sigmoid(a: Array) -> Array:
        return a * (1 - a)

    def cost_value(y_hat: Array, y: Array) -> Array:
        m = y.shape[1]
        cost = -1 / m * (np.dot(y, np.log(y_hat).T) + np.dot(1 - y, np.log(1 - y_hat).T))
        return np.squeeze(cost)

    def cost_derivative(y_hat: Array, y: Array) -> Array:
        return -(np.divide(y, y_hat) - np.divide(1 - y, 1 - y_hat))

    (w1, b1), (w2, b2), (w3, b3) = layers

    def step() -> Array:
        m = inputs.shape[1]
        z1 = np.dot(w1, inputs) + b1
        a1 = sigmoid(z1)
        z2 = np.dot(w2, a1) + b2
        a2 = sigmoid(z2)
        z3 = np.dot(w3, a2) + b3
        a3 = sigmoid(z3)
        cost = cost_value(a3, labels)
        delta3 = derivative_sigmoid(a3) * cost_derivative(a3, labels)
        dw3 = np.dot(delta3, a2.T) / m
        db3 = np.sum(delta3, axis=1, keepdims=True) / m
        delta2 = np.dot(w3.T, delta3) * derivative_sigmoid(a2)
        dw2 = np.dot(delta2, a1.T) / m
        db2 = np.sum(delta2, axis=1, keepdims=True) / m
        delta1 = np.dot(w2.T, delta2) * derivative_sigmoid(a1)
        dw1 = np.dot(delta1, inputs.T) / m
        db1 = np.sum(delta1, axis=1, keepdims=True) / m
        for weight, gradient in ((w1, dw1), (w2, dw2), (w3, dw3), (b1, db1), (b2, db2), (b3, db3)):
            weight -= lr * gradient
        return cost

    return Contender(
        step,
        lambda: [p.reshape(p.shape if i % 2 == 0 else -1) for i, p in enumerate(p for layer in layers for p in layer)],
    )


def hand_written_short(problem: Problem) -> Contender:
    """The same after cancelling sigmoid against cross entropy on paper: the last delta is (a - y) / m."""
    layers = [(w, b[:, None]) for w, b in problem.copied_weights()]
    inputs, labels, lr, m = problem.x.T.copy(), problem.y.T.copy(), problem.lr, problem.batch

    def step() -> Any:
        activations = [inputs]
        for w, b in layers:
            activations.append(1 / (1 + np.exp(-(w @ activations[-1] + b))))
        p = activations[-1]
        cost = -np.mean(labels * np.log(p) + (1 - labels) * np.log(1 - p))
        delta = (p - labels) / m
        for i in range(len(layers) - 1, -1, -1):
            (w, b), a = layers[i], activations[i]
            dw, db = delta @ a.T, delta.sum(axis=1, keepdims=True)
            if i:
                delta = (w.T @ delta) * a * (1 - a)
            w -= lr * dw
            b -= lr * db
        return cost

    return Contender(step, lambda: [array for w, b in layers for array in (w, b[:, 0])])


def bare_products(problem: Problem) -> Contender:
    """Only the matrix products of the step, into fixed buffers: the floor that arithmetic sets."""
    products: list[tuple[Array, Array, Array]] = []
    activation = problem.x.T.copy()
    for i, (w, _) in enumerate(problem.weights):
        output = np.empty((len(w), problem.batch), problem.dtype)
        delta = np.ones_like(output)
        products.append((w, activation, output))
        products.append((delta, activation.T, np.empty_like(w)))
        if i:
            products.append((w.T, delta, np.empty_like(activation)))
        activation = np.ones_like(output)

    def step() -> float:
        for left, right, out in products:
            np.dot(left, right, out=out)
        return 0.0

    return Contender(step, None)


def nablagraph(problem: Problem, backend: str | None = None) -> Contender:
    """Nablagraph: `nn.MLP`, `nn.BCEWithLogitsLoss`, `nn.optim`; eager, or compiled with a backend."""
    import autodiff.compile
    import nn
    from autodiff import as_tensor

    activation: Any = "sigmoid"
    if problem.kind == "dropout":
        activation = nn.Sequential(nn.Sigmoid(), nn.Dropout(DROPPED, seed=0))
    model = nn.MLP(list(problem.layers), activation=activation, dtype=problem.dtype)
    parameters = [parameter for _, parameter in model.named_parameters()]
    initial = [array for layer in problem.copied_weights() for array in layer]
    for parameter, array in zip(parameters, initial, strict=True):
        parameter.data = array
    del initial, parameter, array  # memory that nobody else holds may be moved
    optimizer: nn.optim.Optimizer
    if problem.kind == "adam":
        optimizer = nn.optim.Adam(model.parameters(), lr=problem.lr)
    else:
        optimizer = nn.optim.SGD(model.parameters(), lr=problem.lr, momentum=MOMENTUM * (problem.kind == "momentum"))
    criterion = nn.BCEWithLogitsLoss()
    x, y = as_tensor(problem.x.copy()), as_tensor(problem.y.copy())

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward(free_graph=True)
        optimizer.step()
        return loss

    train: Any = step if backend is None else autodiff.compile(step, backend=backend)
    return Contender(
        lambda: train(x, y),
        lambda: [parameter.data for parameter in parameters],
        forget=optimizer.zero_grad,
        made=train,
    )


def compiled(problem: Problem) -> Contender:
    """Nablagraph, the same step under `autodiff.compile`."""
    return nablagraph(problem, "numpy")


def compiled_numba(problem: Problem) -> Contender:
    """Nablagraph, the same step as machine code."""
    import numba  # noqa: F401

    return nablagraph(problem, "numba")


def compiled_numba_epoch(problem: Problem) -> Contender:
    """Nablagraph, many steps as one call of machine code."""
    from autodiff.compile.machine.epochs import Epochs

    single = compiled_numba(problem)
    epochs = Epochs(single.made)
    x, y = problem.x.copy(), problem.y.copy()
    rows = np.arange(len(x))
    warm = False

    def many(number: int) -> float:
        nonlocal warm
        if not warm:  # records, and makes the machine code of the loop
            epochs(x, y, np.tile(rows, 20), len(x))
            warm = True
        return float(epochs(x, y, np.tile(rows, number), len(x))[-1])

    return Contender(single.step, single.weights, many=many)


def pytorch(problem: Problem) -> Contender:
    """PyTorch eager: `nn.Sequential`, `BCEWithLogitsLoss`, `optim`."""
    import torch

    torch.set_num_threads(1)
    dtype = getattr(torch, problem.dtype)
    modules: list[torch.nn.Module] = []
    for n_in, n_out in pairwise(problem.layers):
        modules += [torch.nn.Linear(n_in, n_out, dtype=dtype), torch.nn.Sigmoid()]
        if problem.kind == "dropout":
            modules.append(torch.nn.Dropout(DROPPED))
    model = torch.nn.Sequential(*modules[: -2 if problem.kind == "dropout" else -1])
    initial = [array for layer in problem.weights for array in layer]
    with torch.no_grad():
        for parameter, array in zip(model.parameters(), initial, strict=True):
            parameter.copy_(torch.from_numpy(array))
    optimizer: torch.optim.Optimizer
    if problem.kind == "adam":
        optimizer = torch.optim.Adam(model.parameters(), lr=problem.lr)
    else:
        optimizer = torch.optim.SGD(model.parameters(), lr=problem.lr, momentum=MOMENTUM * (problem.kind == "momentum"))
    criterion = torch.nn.BCEWithLogitsLoss()
    x, y = torch.tensor(problem.x), torch.tensor(problem.y)

    def step() -> Any:
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    def weights() -> list[Array]:
        return [parameter.detach().numpy() for parameter in model.parameters()]

    return Contender(step, weights, torch.Tensor.item, optimizer.zero_grad)


def jax_jit(problem: Problem) -> Contender:
    """JAX: the whole step under one `jax.jit`, parameters donated, run in this thread: faster on one core."""
    import jax

    jax.config.update("jax_cpu_enable_async_dispatch", False)
    return _jax(problem)


def jax_default(problem: Problem) -> Contender:
    """JAX as it comes: calls return before the step is done, and threads do it. One process is one or the other."""
    import jax  # noqa: F401

    return elsewhere("contenders:_jax", problem)


def jax_loop(problem: Problem) -> Contender:
    """JAX: many steps as one call, under `jax.lax.fori_loop`."""
    import jax

    jax.config.update("jax_cpu_enable_async_dispatch", False)
    return _jax(problem, loop=True)


def _jax(problem: Problem, loop: bool = False) -> Contender:
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    params = [(jnp.array(w), jnp.array(b)) for w, b in problem.weights]
    x, y = jnp.array(problem.x), jnp.array(problem.y)

    def loss_of(params: Any, x: Any, y: Any) -> Any:
        for w, b in params[:-1]:
            x = jax.nn.sigmoid(x @ w.T + b)
        w, b = params[-1]
        logits = x @ w.T + b
        return jnp.mean(jax.nn.softplus(logits) - y * logits)

    def update(params: Any, x: Any, y: Any) -> Any:
        loss, gradients = jax.value_and_grad(loss_of)(params, x, y)
        return loss, jax.tree.map(lambda p, g: p - problem.lr * g, params, gradients)

    def updates(params: Any, x: Any, y: Any, number: Any) -> Any:
        start = jnp.zeros((), problem.dtype), params
        return jax.lax.fori_loop(0, number, lambda _, state: update(state[1], x, y), start)

    one, several = jax.jit(update, donate_argnums=0), jax.jit(updates, donate_argnums=0)

    def step() -> Any:
        nonlocal params
        loss, params = one(params, x, y)
        return loss

    def many(number: int) -> Any:
        nonlocal params
        loss, params = several(params, x, y, number)
        return loss

    def weights() -> list[Array]:
        return [np.asarray(array) for layer in params for array in layer]

    return Contender((lambda: many(1)) if loop else step, weights, many=many if loop else None)


def mygrad(problem: Problem) -> Contender:
    """MyGrad, with its memory guard off, as its documentation advises for speed."""
    import mygrad as mg
    from mygrad.nnet.activations import sigmoid

    mg.turn_memory_guarding_off()
    params = [(mg.tensor(w), mg.tensor(b)) for w, b in problem.weights]
    x, y, lr = problem.x.copy(), problem.y.copy(), problem.lr

    def step() -> Any:
        a = x
        for w, b in params[:-1]:
            a = sigmoid(mg.matmul(a, w.T) + b)
        w, b = params[-1]
        logits = mg.matmul(a, w.T) + b
        loss = mg.mean(mg.logaddexp(0, logits) - y * logits)
        loss.backward()
        for layer in params:
            for parameter in layer:
                parameter.data -= lr * parameter.grad
        return loss

    def forget() -> None:
        for layer in params:
            for parameter in layer:
                parameter.null_grad()

    return Contender(step, lambda: [array.data for layer in params for array in layer], forget=forget)


def hips_autograd(problem: Problem) -> Contender:
    """HIPS autograd: a loss in `autograd.numpy`, differentiated by `value_and_grad`."""
    import autograd.numpy as anp
    from autograd import value_and_grad

    params = problem.copied_weights()
    x, y, lr = problem.x.copy(), problem.y.copy(), problem.lr

    def loss_of(params: Any) -> Any:
        a = x
        for w, b in params[:-1]:
            a = 1 / (1 + anp.exp(-(anp.dot(a, w.T) + b)))
        w, b = params[-1]
        logits = anp.dot(a, w.T) + b
        return anp.mean(anp.logaddexp(0, logits) - y * logits)

    loss_and_gradients = value_and_grad(loss_of)

    def step() -> Any:
        loss, gradients = loss_and_gradients(params)
        for (w, b), (dw, db) in zip(params, gradients, strict=True):
            w -= lr * dw
            b -= lr * db
        return loss

    return Contender(step, lambda: [array for layer in params for array in layer])


def micrograd(problem: Problem) -> Contender:
    """micrograd, scalar by scalar; it has no exp or log, so it gets sigmoid and softplus in its style."""
    from micrograd.engine import Value
    from micrograd.nn import Layer

    def unary(v: Any, value: float, slope: float) -> Any:
        out = Value(value, (v,))

        def backward() -> None:
            v.grad += slope * out.grad

        out._backward = backward
        return out

    def sigmoid(v: Any) -> Any:
        s = 1 / (1 + math.exp(-v.data))
        return unary(v, s, s * (1 - s))

    def softplus(v: Any) -> Any:
        return unary(v, math.log1p(math.exp(v.data)), 1 / (1 + math.exp(-v.data)))

    layers = [Layer(w.shape[1], w.shape[0], nonlin=False) for w, _ in problem.weights]
    for layer, (w, b) in zip(layers, problem.weights, strict=True):
        for neuron, row, bias in zip(layer.neurons, w.tolist(), b.tolist(), strict=True):
            neuron.w, neuron.b = [Value(weight) for weight in row], Value(bias)
    parameters = [parameter for layer in layers for parameter in layer.parameters()]
    samples, labels, lr = problem.x.tolist(), problem.y[:, 0].tolist(), problem.lr

    def step() -> float:
        total = Value(0.0)
        for sample, label in zip(samples, labels, strict=True):
            a = sample
            for layer in layers[:-1]:
                a = [sigmoid(neuron(a)) for neuron in layer.neurons]
            logit = layers[-1](a)
            total = total + softplus(logit) - logit * label
        loss = total * (1 / len(samples))
        for parameter in parameters:
            parameter.grad = 0
        loss.backward()
        for parameter in parameters:
            parameter.data -= lr * parameter.grad
        return float(loss.data)

    def weights() -> list[Array]:
        pairs = [
            ([[v.data for v in n.w] for n in layer.neurons], [n.b.data for n in layer.neurons]) for layer in layers
        ]
        return [np.array(values) for pair in pairs for values in pair]

    return Contender(step, weights)


BASE, PEER, FLOOR = "numpy", "torch", "products"
ROWS: dict[str, tuple[str, str | None, Callable[[Problem], Contender]]] = {
    "numpy": ("hand-written numpy", None, hand_written),
    "short": ("hand-written numpy, a - y by hand", None, hand_written_short),
    "products": ("bare matrix products", None, bare_products),
    "nablagraph": ("nablagraph eager", "nablagraph", nablagraph),
    "compiled": ("nablagraph compiled", "nablagraph", compiled),
    "numba": ("nablagraph compiled, numba", "numba", compiled_numba),
    "numba_epoch": ("nablagraph compiled, numba, steps inside one call", "numba", compiled_numba_epoch),
    "torch": ("PyTorch eager", "torch", pytorch),
    "jax": ("JAX jit, synchronous", "jax", jax_jit),
    "jax_default": ("JAX jit, asynchronous as by default", "jax", jax_default),
    "jax_loop": ("JAX jit, steps inside one fori_loop", "jax", jax_loop),
    "mygrad": ("MyGrad", "mygrad", mygrad),
    "autograd": ("HIPS autograd", "autograd", hips_autograd),
    "micrograd": ("micrograd", "micrograd", micrograd),
}
SIZES: dict[str, tuple[int, str]] = {
    "2-5-5-1": (4, "float64"),
    "784-256-128-1": (128, "float32"),
    "1024-1024-1024-1": (512, "float32"),
}


def available(row: str, size: str) -> bool:
    """Whether the row makes sense at this size: micrograd builds one node a scalar and would take minutes."""
    return row != "micrograd" or size == "2-5-5-1"


def make(row: str, size: str, lr: float) -> Contender:
    """The contender `row` set up on `size`, every row from the same weights and data."""
    return ROWS[row][2](problem(size, lr))


def problem(size: str, lr: float, kind: str = "sgd") -> Problem:
    """The problem of this size."""
    batch, dtype = SIZES[size]
    return Problem.make(tuple(int(width) for width in size.split("-")), batch, dtype, lr, kind)

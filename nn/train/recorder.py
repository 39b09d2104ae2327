"""Pictures of a model while it is trained: a pass over the data, looked at now and then, that leaves no trace."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from autodiff.op import strip
from autodiff.state import no_grad, watchers
from autodiff.tensor import Tensor
from nn.functional import binary_cross_entropy, binary_cross_entropy_with_logits
from nn.losses import BCELoss, BCEWithLogitsLoss
from nn.module import Module
from nn.train.run import Run
from nn.train.samples import Samples

#: A picture is of so many samples at most, the first ones.
SAMPLES = 256
#: Points along each side of the grid on which a decision boundary is drawn, and how far it reaches beyond the data.
POINTS, MARGIN = 20, 0.15


class Recorder:
    """Takes the pictures of one run of `fit`, into ``run.history.recording``.

    Parameters
    ----------
    model, loss
        See `fit`.
    data : Samples
        What is trained on.
    every : int
        Epochs between two pictures.

    Raises
    ------
    ValueError
        `every` is no positive integer.
    """

    def __init__(self, model: Module, loss: Callable[[Any, Any], Any], data: Samples, every: int) -> None:
        if isinstance(every, bool) or not hasattr(every, "__index__") or every < 1:
            raise ValueError(
                f"record must be an integer of at least 1, got {every!r}: record=10 takes a picture every 10 epochs"
            )
        self._model = model
        self._loss = loss
        self._data = data
        self._every = every
        self._plane = _Plane(data) if _is_plane(data) else None
        self._begun = self._failed = False
        # The person's own. What `fit` itself looks for in every operation is not to be found in a picture.
        self._watchers = watchers.get()

    def look(self, run: Run) -> None:
        """Take a picture before the first epoch, after each `every` epochs and after the last; warn once if it fails.

        A run that is resumed begins with a picture of what it goes on from.
        """
        if self._begun and run.epoch % self._every and not run.ending:
            return
        self._begun = True
        try:
            self._take(run)
        except Exception as error:  # whatever it is: the training goes well without
            if not self._failed:
                self._failed = True
                warnings.warn(
                    f"no picture was taken after {run.epoch} epochs, and training goes on: {error}",
                    RuntimeWarning,
                    stacklevel=2,
                )

    def _take(self, run: Run) -> None:
        with _undisturbed(self._model, self._loss), _watched(self._watchers):
            self._model.eval()
            value, output = self._forward()
            value.name = "loss"
            plane = self._plane if self._plane and _is_probability(self._loss, output, self._data) else None
            with _own_gradients(value):
                value.backward(retain_grads=True)
                self._add(run, value, plane)

    def _add(self, run: Run, value: Tensor, plane: _Plane | None) -> None:
        from autodiff.draw.page.recording import Recording

        says = None
        if plane is not None:
            with no_grad():
                says = plane.ask(self._model, logits=_takes_logits(self._loss))
        figures = dict(run.history.last) if run.epoch else {"loss": value.data.item()}
        recording = run.history.recording
        if recording is None:
            title = f"{type(self._model).__name__} while it is trained"
            samples = {} if plane is None else {"points": plane.X, "labels": plane.y, "extent": plane.extent}
            recording = Recording(title=title, **samples)
        recording.add(value, epoch=run.epoch, figures=figures, probabilities=says)
        run.history.recording = recording

    def _forward(self) -> tuple[Tensor, Tensor]:
        """Return loss and output for the first samples."""
        X, y = self._data.X[:SAMPLES], self._data.y[:SAMPLES]
        # As Tensors they have names in the picture. In training they are arrays, as some models and losses need them:
        # for classes by number, or for a function that has no derivative.
        try:
            output = self._model(Tensor(X, name="x"))
        except Exception:
            output = self._model(X)
        try:
            value = self._loss(output, Tensor(y, name="target"))
        except Exception:
            value = self._loss(output, y)
        return value, output


class _Plane:
    """Samples of two inputs, and a grid over where they lie."""

    def __init__(self, data: Samples) -> None:
        self.X, self.y = data.X[:SAMPLES], data.y[:SAMPLES].reshape(-1)
        low, high = data.X.min(axis=0).astype(float), data.X.max(axis=0).astype(float)
        margin = np.where(high > low, MARGIN * (high - low), 0.5)
        (x0, y0), (x1, y1) = (low - margin).tolist(), (high + margin).tolist()
        self.extent = (x0, x1, y0, y1)
        axes = np.meshgrid(np.linspace(x0, x1, POINTS), np.linspace(y0, y1, POINTS))
        self.grid = np.stack(axes, axis=-1).reshape(-1, 2).astype(data.X.dtype)

    def ask(self, model: Module, *, logits: bool) -> Any:
        """Return the model's probabilities on the grid, the lowest second input in row 0."""
        says = strip(model(self.grid)).reshape(POINTS, POINTS)
        # tanh does not overflow.
        return 0.5 + 0.5 * np.tanh(says / 2) if logits else says


def _is_plane(data: Samples) -> bool:
    X, y = data.X, data.y
    return (
        type(X) is type(y) is np.ndarray
        and X.ndim == 2
        and X.shape[1] == 2
        and y.size == data.size
        and bool(np.isfinite(X).all())
    )


def _takes_logits(loss: Any) -> bool:
    return isinstance(loss, BCEWithLogitsLoss) or loss is binary_cross_entropy_with_logits


def _is_probability(loss: Any, output: Tensor, data: Samples) -> bool:
    """Whether the output for each sample is one probability, or its logit."""
    if output.size != min(data.size, SAMPLES):
        return False
    if _takes_logits(loss) or isinstance(loss, BCELoss) or loss is binary_cross_entropy:
        return True
    # Numbers between 0 and 1 may be so by chance; those of a sigmoid never leave.
    is_sigmoid = output.op is not None and output.op.name == "sigmoid"
    return is_sigmoid and bool(np.isin(data.y, (0, 1)).all())


@contextmanager
def _watched(looking: Any) -> Iterator[None]:
    token = watchers.set(looking)
    try:
        yield
    finally:
        watchers.reset(token)


@contextmanager
def _undisturbed(model: Module, loss: Any) -> Iterator[None]:
    """Let model and loss work on copies of their statistics and generators; put back these, their modes and the rest.

    Numpy's global generator goes back, too.
    """
    modules = [*model.modules(), *(loss.modules() if isinstance(loss, Module) else ())]
    before = [(vars(module), dict(vars(module))) for module in modules]
    drawn = np.random.get_state()
    copies: dict[int, Any] = {}  # what is shared stays shared
    try:
        for now, attributes in before:
            now.update({key: copy.deepcopy(x, copies) for key, x in attributes.items() if _is_state(x)})
        yield
    finally:
        np.random.set_state(drawn)
        for now, attributes in before:
            for key in now.keys() - attributes.keys():
                del now[key]
            now.update(attributes)


def _is_state(x: Any) -> bool:
    """Whether a pass may change it in place: an array or a generator. Tensors are told apart by their graphs."""
    return isinstance(x, np.random.Generator) or (hasattr(x, "__array_function__") and not isinstance(x, Tensor))


@contextmanager
def _own_gradients(value: Tensor) -> Iterator[None]:
    """Take gradients and hooks from all that `value` was computed from, and give them back."""
    from autodiff.draw.outline.reading import read

    reading = read(value)
    before = [(tensor, tensor.grad, tensor._hooks) for tensor in (*reading.leaves, *reading.made)]
    try:
        for tensor, _, _ in before:
            tensor.grad = tensor._hooks = None
        yield
    finally:
        for tensor, grad, hooks in before:
            tensor.grad, tensor._hooks = grad, hooks

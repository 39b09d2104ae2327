"""One update of the weights, from one batch: step by step, or as a compiled program."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from autodiff.state import watching
from autodiff.tensor import Tensor
from nn.module import Module
from nn.optim.optimizer import Optimizer
from nn.train.samples import Samples

#: Steps of a whole run from which on a program earns back what recording it costs.
WORTHWHILE = 500
#: Calls in which a step must have shown that it does the same each time, and how often it may be recorded anew later.
TRIALS, OFTEN = 5, 20


class NotFiniteError(ArithmeticError):
    """The loss of a batch is NaN or infinite; nothing was updated."""

    def __init__(self, loss: Tensor) -> None:
        super().__init__("the loss is not finite")
        self.loss = loss


class Step:
    """Gradients to zero, forward, loss, backward, clipping, update.

    Parameters
    ----------
    model, loss, optimizer
        See `fit`.
    clip : callable or None
        Limits the gradients before the update.
    keep : bool
        Whether the model's output is asked for.

    Attributes
    ----------
    run : callable
        ``run(xb, yb)`` makes one update and returns the loss, a float, and the output, an array, or None.
        `NotFiniteError` if the loss is NaN or infinite.
    compiled : bool
        Whether that is a program.
    """

    def __init__(
        self,
        model: Module,
        loss: Callable[[Any, Any], Any],
        optimizer: Optimizer,
        clip: Callable[[], None] | None,
        keep: bool,
    ) -> None:
        self.run: Callable[[Any, Any], tuple[float, Any]] = self._eager
        self.compiled = False
        self._model = model
        self._loss = loss
        self._optimizer = optimizer
        self._clip = clip
        self._keep = keep
        self._epochs: Any = None

    def batches(self, data: Samples, rng: np.random.Generator | None) -> Iterator[tuple[float, Any, Any]]:
        """Make one update for each batch, shuffled when there is a generator; give its loss, output and targets."""
        if self._epochs is None or data.steps < 3:
            for xb, yb in data.batches(rng):
                yield *self.run(xb, yb), yb
            return
        order = np.arange(data.size) if rng is None else rng.permutation(data.size)
        for start, figure in self._at_once(data, order):
            yield figure, None, data.y[order[start : start + data.batch_size]]

    def _at_once(self, data: Samples, order: Any) -> Iterator[tuple[int, float]]:
        """Make the updates of an epoch in machine code, and those that it leaves one by one; give start and loss."""
        from autodiff.compile import CompileError

        size = data.batch_size
        try:
            losses = self._epochs(data.X, data.y, order, size)
        except (CompileError, NotFiniteError):  # the next step meets it again, and says so
            losses = self._epochs.made
        for index, figure in enumerate(losses):
            yield index * size, float(figure)
        for start in range(len(losses) * size, data.size, size):
            rows = order[start : start + size]
            yield start, self.run(data.X[rows], data.y[rows])[0]

    def compile(self, data: Samples, backend: str, refused: Callable[[str], None]) -> None:
        """Make programs for the batches of `data`, trying the step out and taking it back.

        Parameters
        ----------
        data : Samples
            What is trained on.
        backend : {"numpy", "numba"}
            What runs the program.
        refused : callable
            Told why there is none, now or in a later step, which is made eagerly then, as all that follow are.
        """
        from autodiff.compile import CompileError, compile
        from nn.train.rehearsal import Before

        self._refused = refused
        self._recorded = _Count()
        self._replayed = 0
        function = self._function()
        self._program: Any = compile(function, backend=backend)
        lazy = next((x for x in (data.X, *(p.data for p in self._model.parameters())) if _is_lazy(x)), None)
        if lazy is not None:
            return refused("Dask's arrays are computed when they are asked for")
        self._optimizer.prepare()
        before = Before(function)
        try:
            for batch in data.kinds():
                programs = len(self._program.programs)
                for _ in range(TRIALS):
                    self._program(*batch)
                    if len(self._program.programs) > programs:
                        break
        except CompileError as error:
            before.undo()
            return refused(str(error))
        except NotFiniteError:  # the first step will say so
            return before.undo()
        except BaseException:
            before.undo()
            raise
        if not before.rewind():
            before.undo()
            return refused("the step makes arrays when it is first called, which could not be taken back")
        self.run, self.compiled = self._replay, True
        if backend == "numba" and not self._keep:
            from autodiff.compile.machine.epochs import Epochs

            self._epochs = Epochs(self._program)

    def _function(self) -> Callable[[Any, Any], Any]:
        """Return the step as a function of a batch; what it reaches is what a program depends on."""
        model, loss, optimizer, clip, keep = self._model, self._loss, self._optimizer, self._clip, self._keep
        recorded = self._recorded

        def step(xb: Any, yb: Any) -> Any:
            recorded.number += 1  # a program does not
            optimizer.zero_grad()
            output = model(xb)
            value = loss(output, yb)
            _check_loss(value)
            # Before anything is changed: the eager step that takes over begins where this one began.
            if not np.isfinite(value.data):
                raise NotFiniteError(value)
            value.backward(free_graph=True)
            if clip is not None:
                clip()
            optimizer.step()
            return (value.data, output.data) if keep else value.data

        return step

    def _replay(self, xb: Any, yb: Any) -> tuple[float, Any]:
        from autodiff.compile import CompileError

        self._replayed += 1
        try:
            returned = self._program(xb, yb)
        except NotFiniteError:
            return self._eager(xb, yb)
        except CompileError as error:
            self._give_up(str(error))
            return self._eager(xb, yb)
        if self._recorded.number > OFTEN and self._recorded.number * OFTEN > self._replayed and not watching:
            self._give_up(f"something that the step depends on changes too often: {self._recorded.number} recordings")
        value, output = returned if self._keep else (returned, None)
        return value.item(), output

    def _eager(self, xb: Any, yb: Any) -> tuple[float, Any]:
        self._optimizer.zero_grad()
        output = self._model(xb)
        value = self._loss(output, yb)
        _check_loss(value)
        figure = value.item()
        if not math.isfinite(figure):
            raise NotFiniteError(value)
        value.backward(free_graph=True)
        if self._clip is not None:
            self._clip()
        self._optimizer.step()
        return figure, output.data if self._keep else None

    def _give_up(self, reason: str) -> None:
        self.run, self.compiled, self._epochs = self._eager, False, None
        self._program = None
        self._refused(reason)


class _Count:
    """How often the step was recorded; no part of what it computes."""

    not_recorded = True

    def __init__(self) -> None:
        self.number = 0


def _is_lazy(x: Any) -> bool:
    return type(x).__module__.partition(".")[0] == "dask"


def _check_loss(value: Any) -> None:
    if not isinstance(value, Tensor):
        raise TypeError(
            f"the loss gave a {type(value).__name__} without a gradient: compute it from the model's "
            "output, a Tensor, with numpy functions and operators, and without .data or float()"
        )
    if value.size != 1:
        raise ValueError(
            f"the loss has shape {value.shape}, training needs one number: "
            'reduce it with .mean(), or use reduction="mean"'
        )

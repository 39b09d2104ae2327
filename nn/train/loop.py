"""The training loop: mini-batches, validation, callbacks, progress, and a clear word when it diverges."""

from __future__ import annotations

import math
import os
import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from importlib.util import find_spec
from typing import Any, Literal

import numpy as np

from autodiff.anomaly import detect_anomaly
from autodiff.state import enable_grad, no_grad
from autodiff.tensor import Tensor
from nn.io import load
from nn.module import Module
from nn.optim.clip import clip_grad_norm, clip_grad_value
from nn.optim.optimizer import Optimizer
from nn.optim.schedules import ReduceLROnPlateau, Schedule
from nn.train.callbacks import Callback, Checkpoint
from nn.train.diagnosis import TrainingDiverged, advice, diverged, nonfinite_weight
from nn.train.history import History
from nn.train.progress import Progress
from nn.train.progress import progress as show_progress
from nn.train.recorder import Recorder
from nn.train.run import Run
from nn.train.samples import Pair, Samples
from nn.train.step import WORTHWHILE, NotFiniteError, Step

Loss = Callable[[Any, Any], Tensor]
Metric = Callable[[Any, Any], float]


def fit(
    model: Module,
    loss: Loss,
    optimizer: Optimizer,
    X: Any,
    y: Any,
    *,
    epochs: int,
    batch_size: int | None = None,
    validation: Pair | None = None,
    metrics: Mapping[str, Metric] | None = None,
    callbacks: Iterable[Callback | Callable[[Run], None]] = (),
    schedule: Schedule | None = None,
    clip_norm: float | None = None,
    clip_value: float | None = None,
    shuffle: bool = True,
    rng: np.random.Generator | None = None,
    seed: int | None = None,
    progress: bool | Literal["auto"] = "auto",
    resume: str | os.PathLike[str] | None = None,
    anomaly: bool = False,
    compile: bool | Literal["numba"] = True,
    record: int | None = None,
) -> History:
    """Train `model` and return the history. The model is left in evaluation mode.

    Parameters
    ----------
    model : Module
        Called with a batch of `X`; learns through its parameters.
    loss : callable
        ``loss(prediction, target)`` gives a scalar Tensor: `BCEWithLogitsLoss()`, `MSELoss()`, a function.
    optimizer : Optimizer
        Over the model's parameters.
    X, y : array_like
        Samples and targets along the first axis: arrays, lists, Tensors. Numbers in `X` and floats in `y` are
        brought to the dtype of the model's parameters.
    epochs : int
        Passes over the data, those of a resumed run included.
    batch_size : int, optional
        Samples per update; all of them unless given.
    validation : tuple, optional
        ``(X_val, y_val)``, evaluated after each epoch in evaluation mode.
    metrics : dict of str to callable
        ``metric(prediction, target)`` on arrays with all samples of the epoch. On the training data it sees
        the predictions that were made while training.
    callbacks : iterable
        `EarlyStopping`, `Checkpoint`, your own `Callback`; a plain function is called with the run after each epoch.
    schedule : Schedule, optional
        Stepped after each epoch; `ReduceLROnPlateau` watches the validation loss, or the loss without validation data.
    clip_norm, clip_value : float, optional
        Limit the gradients before each update, see `clip_grad_norm` and `clip_grad_value`.
    shuffle : bool
        Draw a new order of the samples for each epoch; has no effect when one batch holds them all.
    rng, seed : numpy.random.Generator or int
        Source of the shuffling; one of them is needed for it.
    progress : bool or "auto"
        "auto": a live bar on a terminal, else about ten plain lines. True: the bar. False: nothing.
    resume : path, optional
        A file that `Checkpoint` wrote. The run goes on after its last epoch, bit for bit as if it had not ended.
    anomaly : bool
        Train under `autodiff.detect_anomaly`: slower, but the first operation whose value or derivative is NaN or
        infinite stops the run with an `AnomalyError` that names the line of code which called it.
    compile : bool or "numba"
        True: a run of 500 steps and more is trained by a program of its step, see `autodiff.compile`, where the model,
        the loss and the data allow it; where not, step by step, and ``history.compiled`` says why. Losses and weights
        agree with those of ``compile=False`` up to rounding. "numba": the program is machine code, however short the
        run.
    record : int, optional
        Take a picture before the first epoch, after every so many and after the last, for ``history.html(path)``: of
        one forward and backward pass over the first 256 samples at most, in evaluation mode. The training is to the
        bit what it is without. Checkpoints hold no pictures; a resumed run begins with one of what it goes on from.

    Raises
    ------
    TrainingDiverged
        The loss or a weight became NaN or infinite; says in which epoch and batch, and which operation was the first.
    ValueError
        Numbers of samples differ, a setting makes no sense, or the checkpoint does not fit.
    TypeError
        Something is not what it should be: a module, an optimizer, numbers.
    ImportError
        ``compile="numba"`` without Numba.
    """
    if not isinstance(model, Module):
        raise TypeError(f"fit takes a Module, got a {type(model).__name__}")
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"fit takes an optimizer such as SGD(model.parameters(), lr=0.1), got {optimizer!r}")
    if isinstance(epochs, bool) or not hasattr(epochs, "__index__") or epochs < 1:
        raise ValueError(f"epochs must be an integer of at least 1, got {epochs!r}")
    if compile not in (True, False, "numba"):
        raise ValueError(f'compile must be True, False or "numba", got {compile!r}')
    if compile == "numba" and find_spec("numba") is None:
        raise ImportError('compile="numba" needs Numba: pip install "nablagraph[numba]", or leave it out')
    train = Samples(model, X, y, batch_size, ("X", "y"))
    recorder = None if record is None else Recorder(model, loss, train, record)
    held = None
    if validation is not None:
        if not isinstance(validation, (tuple, list)) or len(validation) != 2:
            raise TypeError("validation must be a pair (X_val, y_val)")
        held = Samples(model, *validation, batch_size, ("X_val", "y_val"))
    metrics = _checked_metrics(metrics)
    if rng is not None and seed is not None:
        raise ValueError("pass rng= or seed=, not both")
    rng = rng if seed is None else np.random.default_rng(seed)
    if not (shuffle and train.steps > 1):
        rng = None
    elif rng is None:
        raise ValueError("fit shuffles the samples: pass seed=0, or rng=a numpy Generator, or shuffle=False")
    figures = ("loss", *metrics)
    if held is not None:
        figures += tuple(f"val_{name}" for name in figures)
    # Checkpoints last, so that they hold what the other callbacks concluded from the same epoch.
    ordered = sorted(map(_as_callback, callbacks), key=lambda callback: isinstance(callback, Checkpoint))
    run = Run(model, optimizer, schedule, rng, epochs, figures, ordered)
    run.history.steps = train.steps
    clip = _clipping(optimizer, clip_norm, clip_value)
    begun: list[Callback] = []
    # Overflows show as a loss that is not finite, and that is reported with its cause.
    with np.errstate(all="ignore"), detect_anomaly() if anomaly else nullcontext():
        try:
            for callback in ordered:
                callback.on_train_begin(run)
                begun.append(callback)
            if resume is not None:
                run.load_state_dict(load(resume))
            step = Step(model, loss, optimizer, clip, keep=bool(metrics))
            _train(run, loss, step, train, held, metrics, progress, compile and not anomaly and compile, recorder)
        finally:
            model.eval()
            for callback in begun:
                callback.on_train_end(run)
    return run.history


def evaluate(
    model: Module,
    loss: Loss,
    X: Any,
    y: Any,
    *,
    metrics: Mapping[str, Metric] | None = None,
    batch_size: int | None = None,
) -> dict[str, float]:
    """Return ``{"loss": ...}`` and the metrics of `model` on data, in evaluation mode and without gradients.

    Parameters are those of `fit`. The modes of the model and its layers are as before afterwards.
    """
    metrics = _checked_metrics(metrics)
    data = Samples(model, X, y, batch_size, ("X", "y"))
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        return _measure(model, loss, data, metrics)
    finally:
        for module, mode in modes:
            module.training = mode


def _train(
    run: Run,
    loss: Loss,
    step: Step,
    train: Samples,
    held: Samples | None,
    metrics: dict[str, Metric],
    show: bool | Literal["auto"],
    compile: bool | Literal["numba"],
    recorder: Recorder | None,
) -> None:
    """Run the epochs that are left."""
    model, optimizer = run.model, run.optimizer
    display = show_progress(show, run.epochs, train.steps, run.epoch)
    model.train()
    try:
        if not run.ending and (compile == "numba" or (compile and run.epochs * train.steps >= WORTHWHILE)):
            _compile(run, step, train, compile, display)
        if recorder is not None:
            recorder.look(run)
        while not run.ending:
            start = time.perf_counter()
            lr = optimizer.param_groups[0]["lr"]
            record: dict[str, Any] = {"epoch": run.epoch + 1}
            record.update(_epoch(run, step, train, metrics, _weigh(loss), display.step))
            if held is not None:
                model.eval()
                figures = _measure(model, loss, held, metrics, run)
                record.update({f"val_{name}": figure for name, figure in figures.items()})
                model.train()
            elif run.epoch + 1 == run.epochs:
                _check_weights(run, train.steps)
            record["lr"] = lr
            record["seconds"] = time.perf_counter() - start
            run.history.records.append(record)
            if isinstance(run.schedule, ReduceLROnPlateau):
                run.schedule.step(record["loss" if held is None else "val_loss"])
            elif run.schedule is not None:
                run.schedule.step()
            for callback in run.callbacks:
                callback.on_epoch_end(run)
            if recorder is not None:
                recorder.look(run)
            display.epoch(record)
    finally:
        display.close(run.history.records[-1] if run.epoch else None)


def _compile(run: Run, step: Step, data: Samples, compile: bool | Literal["numba"], display: Progress) -> None:
    """Have the step compiled; where that cannot be, note why, in the history and for whoever looks on."""

    def refused(reason: str) -> None:
        run.history.compiled = reason
        text = f"training runs without compilation: {reason}"
        if compile == "numba":
            warnings.warn(text, RuntimeWarning, stacklevel=2)
        else:
            display.note(text)

    step.compile(data, "numba" if compile == "numba" else "numpy", refused)
    if step.compiled:
        run.history.compiled = True


def _epoch(
    run: Run, step: Step, data: Samples, metrics: dict[str, Metric], weigh: bool, note: Callable[[], None]
) -> dict[str, float]:
    """Train on every batch once; return the loss over all samples and the metrics."""
    total = 0.0
    seen: list[Pair] = []
    index = 0
    try:
        for figure, output, yb in step.batches(data, run.rng):
            total += figure * len(yb) if weigh else figure
            if metrics:
                seen.append((output, yb))
            note()
            index += 1
    except NotFiniteError as error:
        raise _diverged(run, error.loss, data, "loss", index) from None
    return _figures(total / data.size if weigh else total, metrics, seen)


def _measure(
    model: Module, loss: Loss, data: Samples, metrics: dict[str, Metric], run: Run | None = None
) -> dict[str, float]:
    """Return loss and metrics over all samples; within a `run`, refuse a loss that is not finite."""
    weigh = _weigh(loss)
    total = 0.0
    seen: list[Pair] = []
    with no_grad():
        for index, (xb, yb) in enumerate(data.batches(None)):
            output = model(xb)
            value = loss(output, yb)
            figure = float(value.data if isinstance(value, Tensor) else value)
            if run is not None and not math.isfinite(figure):
                with enable_grad():
                    raise _diverged(run, loss(model(xb), yb), data, "validation loss", index)
            total += figure * len(xb) if weigh else figure
            if metrics:
                seen.append((output.data if isinstance(output, Tensor) else output, yb))
    return _figures(total / data.size if weigh else total, metrics, seen)


def _figures(loss: float, metrics: dict[str, Metric], seen: list[Pair]) -> dict[str, float]:
    figures = {"loss": loss}
    if metrics:
        first = seen[0]
        prediction, target = first if len(seen) == 1 else map(np.concatenate, zip(*seen, strict=True))
        for name, metric in metrics.items():
            figures[name] = float(metric(prediction, target))
    return figures


def _weigh(loss: Loss) -> bool:
    """Whether a batch's loss is a mean, and counts by the number of its samples, or a sum."""
    return getattr(loss, "reduction", "mean") != "sum"


def _check_weights(run: Run, steps: int) -> None:
    """Refuse weights that the last update made non-finite; no further forward pass would notice."""
    problem = nonfinite_weight(run.model)
    if problem is not None:
        epoch = run.epoch + 1
        lr = run.optimizer.param_groups[0]["lr"]
        name, sentence = problem
        raise TrainingDiverged(
            f"after the last update, in epoch {epoch}, {sentence}; {advice(lr)}", epoch, steps, parameter=name
        )


def _diverged(run: Run, value: Tensor, data: Samples, what: str, index: int) -> TrainingDiverged:
    epoch = run.epoch + 1
    return diverged(
        run.model,
        value,
        {data.names[0]: data.X, data.names[1]: data.y},
        what=what,
        epoch=epoch,
        batch=index + 1,
        place=f"epoch {epoch} of {run.epochs}, batch {index + 1} of {data.steps}",
        lr=run.optimizer.param_groups[0]["lr"],
    )


def _clipping(optimizer: Optimizer, norm: float | None, value: float | None) -> Callable[[], None] | None:
    if norm is None and value is None:
        return None
    params = [param for group in optimizer.param_groups for param in group["params"]]

    def clip() -> None:
        if value is not None:
            clip_grad_value(params, value)
        if norm is not None:
            clip_grad_norm(params, norm)

    return clip


class _EachEpoch(Callback):
    """A plain function as a callback."""

    def __init__(self, function: Callable[[Run], None]) -> None:
        self._function = function

    def on_epoch_end(self, run: Run) -> None:
        self._function(run)


def _as_callback(callback: Any) -> Callback:
    if isinstance(callback, Callback):
        return callback
    if isinstance(callback, type) or not callable(callback):
        raise TypeError(f"a callback is a Callback or a function of the run, got {callback!r}")
    return _EachEpoch(callback)


def _checked_metrics(metrics: Mapping[str, Metric] | None) -> dict[str, Metric]:
    metrics = dict(metrics or {})
    for name, metric in metrics.items():
        if name in ("epoch", "loss", "lr", "seconds") or name.startswith("val_"):
            raise ValueError(f"a metric cannot be named {name!r}: the history has such a column itself")
        if not callable(metric):
            raise TypeError(f"the metric {name!r} must be a function of prediction and target, got {metric!r}")
    return metrics

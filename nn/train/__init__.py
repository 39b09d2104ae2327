"""Training: `fit`, what it can be told, and what it tells."""

from nn.train.callbacks import Callback, Checkpoint, EarlyStopping
from nn.train.diagnosis import TrainingDiverged
from nn.train.history import History
from nn.train.loop import evaluate, fit
from nn.train.run import Run

__all__ = ["Callback", "Checkpoint", "EarlyStopping", "History", "Run", "TrainingDiverged", "evaluate", "fit"]

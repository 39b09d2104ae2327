"""Optimizers, learning-rate schedules and gradient clipping, with PyTorch's names, rules and defaults."""

from nn.optim.algorithms import SGD, Adam, AdamW, RMSprop
from nn.optim.clip import clip_grad_norm, clip_grad_value
from nn.optim.optimizer import Optimizer
from nn.optim.schedules import CosineAnnealingLR, ExponentialLR, LambdaLR, ReduceLROnPlateau, Schedule, StepLR

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "CosineAnnealingLR",
    "ExponentialLR",
    "LambdaLR",
    "Optimizer",
    "RMSprop",
    "ReduceLROnPlateau",
    "Schedule",
    "StepLR",
    "clip_grad_norm",
    "clip_grad_value",
]

"""Neural networks on autodiff: modules, losses, optimizers, data, training, saving."""

from nn import activations, data, functional, init, io, metrics, optim, train
from nn.activations import (
    ELU,
    GELU,
    Identity,
    LeakyReLU,
    LogSoftmax,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)
from nn.doctor.diagnose import diagnose
from nn.io import load, save
from nn.layers import MLP, BatchNorm1d, Dropout, LayerNorm, Linear, Sequential
from nn.losses import BCELoss, BCEWithLogitsLoss, CrossEntropyLoss, MSELoss
from nn.module import Module, Parameter

__all__ = [
    "ELU",
    "GELU",
    "MLP",
    "BCELoss",
    "BCEWithLogitsLoss",
    "BatchNorm1d",
    "CrossEntropyLoss",
    "Dropout",
    "Identity",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "LogSoftmax",
    "MSELoss",
    "Module",
    "Parameter",
    "ReLU",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Tanh",
    "activations",
    "data",
    "diagnose",
    "functional",
    "init",
    "io",
    "load",
    "metrics",
    "optim",
    "save",
    "train",
]

"""Why a model does not learn: `nn.diagnose`, and the experiments behind it."""

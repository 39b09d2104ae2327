"""When the gradient is right and it still does not learn: what is seen, and experiments that prove it."""

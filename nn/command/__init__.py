"""The commands of `python -m nn`, one module each with a `run(options)`."""

"""The program as a person reads it."""

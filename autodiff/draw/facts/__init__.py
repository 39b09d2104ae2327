"""What is measured in a graph and what is true of it: gradients along edges, factors, a diagnosis in words."""

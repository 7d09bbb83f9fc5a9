"""Floor 1: array namespaces, linear algebra and compiled kernels."""

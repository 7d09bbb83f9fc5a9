"""Speed and memory against peers: equal starts, equal iterations, ratios from one run.

``python -m benchmarks`` from the root of a checkout; see ``python -m benchmarks --help``.
"""

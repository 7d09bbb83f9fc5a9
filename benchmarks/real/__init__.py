"""Ours against mclust, scikit-learn, StepMix and pygmmis on public data: how well, how fast.

``python -m benchmarks.real`` from the root of a checkout; see ``python -m benchmarks.real --help``.
"""

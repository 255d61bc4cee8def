"""Simulations of which the truth is known: what a figure claims beside what is so.

Each module is a part of `python -m tests.benchmarks.truth` and has a function
`figures(replications, seed)`; the suite runs each of them small. All judges, witnesses and
annotators here are simulated.
"""

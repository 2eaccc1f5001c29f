"""Answers of imagined learners, one module a check.

Each module holds ``RIGHT``, correct answers by what is particular about them, and ``WRONG``, wrong answers by what is
wrong, each with the key of the mistake that the check should name. They are written as learners
write, not as the tables of the package are: with loops, hooks, NumPy and ``backward()``.
"""

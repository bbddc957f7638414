"""Directed models of single operators, one module for each family.

A family is a function that yields `Case` objects; `FAMILIES` lists them all.
"""

from cases import arithmetic, boundary, convolution, movement, pointwise, pooling

FAMILIES = [
    convolution.cases,
    arithmetic.cases,
    pooling.cases,
    pointwise.cases,
    movement.cases,
    boundary.cases,
]

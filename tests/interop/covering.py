"""Rows in which every allowed pair of values of two factors occurs: greedy, deterministic, small."""

import itertools


def product(factors, allowed):
    """Every row that is allowed. factors: name -> values; allowed: function of a row (name -> value)."""
    names = list(factors)
    for values in itertools.product(*factors.values()):
        row = dict(zip(names, values))
        if allowed(row):
            yield row


def pairs(row):
    return {frozenset(p) for p in itertools.combinations(row.items(), 2)}


def array(factors, allowed):
    """Takes the row with the most pairs that are still missing, until none is; among equals the first."""
    rows = [(row, pairs(row)) for row in product(factors, allowed)]
    missing = set().union(*(p for _, p in rows))
    chosen = []
    while missing:
        row, covered = max(rows, key=lambda r: len(r[1] & missing))
        missing -= covered
        chosen.append(row)
    return chosen

"""Counts of mining in plain Python: one position, one token at a time, in float64.

Written from the definitions alone. A row is a list of log-probabilities.
"""

import math

INF = math.inf


def plausible(a, b, alpha):
    """Ids that one of the two would write, as a share of its own likeliest token."""
    floors = max(a) + math.log(alpha), max(b) + math.log(alpha)
    return [token for token in range(len(a)) if a[token] >= floors[0] or b[token] >= floors[1]]


def ratio(a, b, token):
    """Difference of the log-probabilities, minus infinity counted as -10 000."""
    ours, theirs = (-1e4 if row[token] == -INF else row[token] for row in (a, b))
    return ours - theirs


def leaders(a, b, alpha, top, sign):
    """Ids that moved most in a direction; of equal ones the lower first."""
    moved = [(sign * ratio(a, b, token), token) for token in plausible(a, b, alpha)]
    order = sorted((each for each in moved if each[0] > 0), key=lambda each: (-each[0], each[1]))
    return [token for _, token in order[:top]]


def shift(a, b, token):
    return math.exp(a[token]) - math.exp(b[token])


def mean_shift(text, token):
    """Mean shift of a token over the positions of a text."""
    return sum(shift(a, b, token) for a, b in text) / len(text)

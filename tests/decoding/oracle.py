"""Contrasts and divergences in plain Python: one row, one token at a time, in float64.

Written from the formulas alone. A row is a list of log-probabilities; minus infinity is allowed.
"""

import math

INF = math.inf
IMPOSSIBLE = -1e4


def exp(row):
    return [math.exp(each) for each in row]


def kl(a, b):
    """KL(A || B): what only B finds impossible makes it infinite."""
    total = 0.0
    for ours, theirs in zip(a, b, strict=True):
        if ours == -INF:
            continue
        if theirs == -INF:
            return INF
        total += math.exp(ours) * (ours - theirs)
    return max(0.0, total)


def js(a, b):
    """Jensen-Shannon divergence: mean of the divergences from the middle."""
    total = 0.0
    for p, q in zip(exp(a), exp(b), strict=True):
        for each in (p, q):
            if each > 0:
                total += each * math.log(each / ((p + q) / 2)) / 2
    return max(0.0, total)


def tv(a, b):
    """Total variation: half of the summed differences of probabilities."""
    return sum(abs(p - q) for p, q in zip(exp(a), exp(b), strict=True)) / 2


def centred_l1(a, b):
    """Mean absolute difference, less its mean, over what both find possible."""
    apart = [x - y for x, y in zip(a, b, strict=True) if x > -INF and y > -INF]
    if not apart:
        return 0.0
    middle = sum(apart) / len(apart)
    return sum(abs(each - middle) for each in apart) / len(apart)


def divergences(a, b):
    return kl(a, b), kl(b, a), js(a, b), tv(a, b), centred_l1(a, b)


def cosine(a, b):
    p, q = exp(a), exp(b)
    lengths = math.sqrt(sum(x * x for x in p) * sum(x * x for x in q))
    return sum(x * y for x, y in zip(p, q, strict=True)) / lengths


def named(contrast, name, default):
    """Number of a stream by its letter."""
    return default if name is None else "ABCDEFGH".index(name.upper())


def plausible(contrast, streams):
    """Whether each token passes all masks."""
    largest = contrast.weights.index(max(contrast.weights))
    asked = streams[named(contrast, contrast.mask_from, largest)]
    ranked = sorted(range(len(asked)), key=lambda token: (-asked[token], token))
    kept = [True] * len(asked)
    for token in range(len(asked)):
        rank = ranked.index(token)
        forced = rank < contrast.keep
        if contrast.alpha is not None:
            fits = asked[token] >= asked[ranked[0]] + math.log(contrast.alpha)
            # What equals a token that must stay, stays.
            least = asked[ranked[min(contrast.keep, len(asked)) - 1]]
            kept[token] &= fits or asked[token] >= least
        if contrast.top_k is not None:
            least = asked[ranked[min(contrast.top_k, len(asked)) - 1]]
            kept[token] &= asked[token] >= least
        if contrast.top_p is not None and contrast.top_p < 1:
            before = sum(math.exp(asked[other]) for other in ranked[:rank])
            kept[token] &= forced or before < contrast.top_p
    return kept


def share(contrast, streams):
    """Share of the fallback stream, from 0 to 1."""
    if contrast.gate is None:
        return 0.0
    weights = contrast.weights
    between = contrast.gate_between or (None, None)
    first = streams[named(contrast, between[0], weights.index(max(weights)))]
    second = streams[named(contrast, between[1], weights.index(min(weights)))]
    if contrast.gate == "cosine":
        return min(1.0, math.exp(-contrast.gate_at * (1 - cosine(first, second))))
    found = {"tv": tv, "js": js}[contrast.gate](first, second)
    return 1.0 if found < contrast.gate_at else 0.0


def scores(contrast, streams, weights=None):
    """Score of each token of one row.

    Args:
        contrast: A ``Contrast``.
        streams: For each stream its log-probabilities.
        weights: Weights in place of those of the contrast.
    """
    given = contrast.weights if weights is None else weights
    largest = contrast.weights.index(max(contrast.weights))
    base = streams[named(contrast, contrast.fallback, largest)]
    gate, kept = share(contrast, streams), plausible(contrast, streams)
    count = len(base)
    if contrast.mode == "weighted":
        found = []
        for token in range(count):
            score = 0.0
            for weight, stream in zip(given, streams, strict=True):
                if weight > 0 and stream[token] == -INF:
                    score = -INF
                elif weight != 0:
                    score += weight * max(stream[token], IMPOSSIBLE)
            if gate == 1:
                score = base[token]
            elif gate > 0:
                score = (1 - gate) * score + gate * base[token]
            found.append(score)
    else:
        mass = [
            sum(
                weight * math.exp(stream[token])
                for weight, stream in zip(given, streams, strict=True)
            )
            for token in range(count)
        ]
        left = sum(max(0.0, some) for some, keeps in zip(mass, kept, strict=True) if keeps)
        mixed = [
            (1 - gate) * some + gate * math.exp(ours) for some, ours in zip(mass, base, strict=True)
        ]
        found = [math.log(some) if some > 0 else -INF for some in mixed]
        if left <= contrast.least:
            found = list(base)
    return [each if keeps else -INF for each, keeps in zip(found, kept, strict=True)]


def log_softmax(logits):
    most = max(logits)
    norm = most + math.log(sum(math.exp(each - most) for each in logits))
    return [each - norm for each in logits]


def furthest(early, last):
    """Number of the layer that is furthest from the last one, the first of equals.

    The mean of KL(M || early) and KL(M || last), for the mean M of both.
    """
    ours = log_softmax(last)
    apart = []
    for layer in early:
        theirs = log_softmax(layer)
        middle = [
            math.log((math.exp(x) + math.exp(y)) / 2) if max(x, y) > -INF else -INF
            for x, y in zip(ours, theirs, strict=True)
        ]
        apart.append((kl(middle, ours) + kl(middle, theirs)) / 2)
    return apart.index(max(apart)), apart

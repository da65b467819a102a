"""Reads captions back from their trees."""


def captions(trees):
    """Ids of each caption, row after row."""
    return [
        ids[nodes[nodes >= 0]]
        for ids, places in zip(trees.ids, trees.places, strict=True)
        for nodes in places
    ]

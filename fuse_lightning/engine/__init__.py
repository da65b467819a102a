"""Execution of networks: batching, shared prefixes, key/value reuse, likelihoods, generation.

The way of a likelihood through it: ``likelihood`` asks for tokens of rows, ``prefixes`` finds what
the rows begin with in common, ``batching`` runs the network over those trunks and then over the
ends of the rows, in batches that ``budget`` says memory holds, and ``attention`` lets the ends
attend to the keys and values of their trunks (``branches``).

The way of a text: ``generate`` asks for texts behind prompts, ``decoding`` reads the prompts as
above and then one token of each text a forward, ``growing_keys`` keeps their keys and values,
``writing`` and ``sampling`` choose the tokens, and ``row_cache`` hands keys and values on to
likelihoods, which ``resuming`` goes on from.

Nothing here knows a term, and of a model only what ``network`` names.
"""

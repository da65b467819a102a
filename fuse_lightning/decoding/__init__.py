"""Contrastive decoding: several streams of frozen models write or read one text."""

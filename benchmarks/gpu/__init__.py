"""Times of steps, scoring and decoding on one accelerator."""

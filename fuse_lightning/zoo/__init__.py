"""Small models that come with the package, and the scene language of their training."""

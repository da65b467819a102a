"""Small models that come with the package, and the scene language they were trained on."""

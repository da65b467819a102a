"""Models, pictures, configurations and devices that tests are made of."""

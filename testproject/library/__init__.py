"""Documents and photos, and what the worker finds out about them."""

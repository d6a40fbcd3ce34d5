"""What joins ardiq to other software: each part imports what it needs, and nothing imports it."""

"""A ledger that must not lose or repeat an entry: durable jobs whose effects happen once."""

PLACES = ("in the transaction", "before the push", "before the delete", "nowhere")  # where a web process dies

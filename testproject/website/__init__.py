"""The project: settings, addresses, and the page frame that both apps share."""

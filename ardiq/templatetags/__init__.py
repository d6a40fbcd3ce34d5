"""Tags for ardiq's own pages of the admin."""

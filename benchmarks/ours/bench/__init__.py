"""The app whose ``tasks.py`` the worker finds."""

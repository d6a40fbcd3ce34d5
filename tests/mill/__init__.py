"""An app of tasks for child processes (executor="process")."""

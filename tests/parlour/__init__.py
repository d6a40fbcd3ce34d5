"""An app whose tasks are Django's: defined with nothing but ``@task`` of django.tasks, or of its backport."""

from django.db import migrations, models


class Migration(migrations.Migration):
    """No tables: the models lie in Redis. Permissions and content types come from here."""

    initial = True
    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Job",
            fields=[
                ("id", models.CharField(max_length=200, primary_key=True, serialize=False, verbose_name="ID")),
                ("task", models.CharField(max_length=200, verbose_name="task")),
                ("queue", models.CharField(max_length=100, verbose_name="queue")),
                ("lane", models.CharField(max_length=100, verbose_name="lane")),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("scheduled", "Scheduled"),
                            ("queued", "Queued"),
                            ("running", "Running"),
                            ("succeeded", "Succeeded"),
                            ("failed", "Failed"),
                            ("aborted", "Aborted"),
                            ("expired", "Expired"),
                        ],
                        max_length=20,
                        verbose_name="state",
                    ),
                ),
                ("attempts", models.PositiveIntegerField(default=0, verbose_name="attempts")),
                ("crashes", models.PositiveIntegerField(default=0, verbose_name="crashes")),
                ("enqueued", models.DateTimeField(null=True, verbose_name="enqueued")),
                ("at", models.DateTimeField(null=True, verbose_name="when")),
            ],
            options={
                "verbose_name": "job",
                "verbose_name_plural": "jobs",
                "ordering": ("-at",),
                "permissions": (
                    ("view_job_payload", "Can see arguments, results and errors of jobs"),
                    ("retry_job", "Can run jobs again"),
                    ("abort_job", "Can abort jobs"),
                ),
                "managed": False,
                "default_permissions": ("view", "delete"),
                "base_manager_name": "objects",
            },
        ),
        migrations.CreateModel(
            name="Queue",
            fields=[
                ("name", models.CharField(max_length=100, primary_key=True, serialize=False, verbose_name="name")),
                ("waiting", models.PositiveIntegerField(default=0, verbose_name="waiting")),
                ("scheduled", models.PositiveIntegerField(default=0, verbose_name="scheduled")),
                ("running", models.PositiveIntegerField(default=0, verbose_name="running")),
                ("failed", models.PositiveIntegerField(default=0, verbose_name="failed")),
                ("workers", models.PositiveIntegerField(default=0, verbose_name="workers")),
            ],
            options={
                "verbose_name": "queue",
                "verbose_name_plural": "queues",
                "ordering": ("name",),
                "managed": False,
                "default_permissions": ("view",),
                "base_manager_name": "objects",
            },
        ),
        migrations.CreateModel(
            name="Worker",
            fields=[
                ("id", models.CharField(max_length=100, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=200, verbose_name="name")),
                ("host", models.CharField(max_length=200, verbose_name="host")),
                ("pid", models.CharField(max_length=20, verbose_name="process")),
                ("queue", models.CharField(max_length=100, verbose_name="queue")),
                ("since", models.DateTimeField(null=True, verbose_name="since")),
                ("seen", models.DateTimeField(null=True, verbose_name="seen")),
                ("running", models.PositiveIntegerField(default=0, verbose_name="running")),
                ("processed", models.PositiveIntegerField(default=0, verbose_name="processed")),
            ],
            options={
                "verbose_name": "worker",
                "verbose_name_plural": "workers",
                "ordering": ("queue", "name"),
                "managed": False,
                "default_permissions": ("view",),
                "base_manager_name": "objects",
            },
        ),
    ]

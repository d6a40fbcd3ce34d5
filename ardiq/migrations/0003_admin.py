from django.db import migrations, models


class Migration(migrations.Migration):
    """No tables: a place in the admin for schedules and the dashboard, and permissions to act."""

    dependencies = [
        ("ardiq", "0002_outbox"),
    ]

    operations = [
        migrations.CreateModel(
            name="Dashboard",
            fields=[
                ("id", models.CharField(max_length=20, primary_key=True, serialize=False, verbose_name="ID")),
            ],
            options={
                "verbose_name": "dashboard",
                "verbose_name_plural": "dashboard",
                "managed": False,
                "default_permissions": ("view",),
                "base_manager_name": "objects",
            },
        ),
        migrations.CreateModel(
            name="Schedule",
            fields=[
                ("id", models.CharField(max_length=301, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=200, verbose_name="name")),
                ("queue", models.CharField(max_length=100, verbose_name="queue")),
                ("timetable", models.CharField(max_length=200, verbose_name="timetable")),
                ("enabled", models.BooleanField(default=True, verbose_name="enabled")),
                ("next_at", models.DateTimeField(null=True, verbose_name="next run")),
                ("last_at", models.DateTimeField(null=True, verbose_name="last run")),
            ],
            options={
                "verbose_name": "schedule",
                "verbose_name_plural": "schedules",
                "ordering": ("name", "queue"),
                "permissions": (("run_schedule", "Can run schedules now"),),
                "managed": False,
                "default_permissions": ("view", "change"),
                "base_manager_name": "objects",
            },
        ),
        migrations.AddField(
            model_name="queue",
            name="oldest",
            field=models.DateTimeField(null=True, verbose_name="oldest waits since"),
        ),
        migrations.AddField(
            model_name="queue",
            name="paused",
            field=models.BooleanField(default=False, verbose_name="paused"),
        ),
        migrations.AddField(
            model_name="worker",
            name="state",
            field=models.CharField(
                choices=[
                    ("alive", "Alive"),
                    ("quiet", "Quiet"),
                    ("stopping", "Stopping"),
                    ("stale", "Stale"),
                ],
                default="alive",
                max_length=20,
                verbose_name="state",
            ),
        ),
        migrations.AlterModelOptions(
            name="job",
            options={
                "base_manager_name": "objects",
                "default_permissions": ("view", "add", "delete"),
                "managed": False,
                "ordering": ("-at",),
                "permissions": (
                    ("view_job_payload", "Can see arguments, results and errors of jobs"),
                    ("retry_job", "Can run jobs again"),
                    ("abort_job", "Can abort jobs"),
                    ("export_job", "Can export jobs"),
                ),
                "verbose_name": "job",
                "verbose_name_plural": "jobs",
            },
        ),
        migrations.AlterModelOptions(
            name="queue",
            options={
                "base_manager_name": "objects",
                "default_permissions": ("view",),
                "managed": False,
                "ordering": ("name",),
                "permissions": (
                    ("pause_queue", "Can pause and resume queues"),
                    ("purge_queue", "Can purge queues and move what waits in them"),
                ),
                "verbose_name": "queue",
                "verbose_name_plural": "queues",
            },
        ),
        migrations.AlterModelOptions(
            name="worker",
            options={
                "base_manager_name": "objects",
                "default_permissions": ("view",),
                "managed": False,
                "ordering": ("queue", "name"),
                "permissions": (("control_worker", "Can quiet and stop workers"),),
                "verbose_name": "worker",
                "verbose_name_plural": "workers",
            },
        ),
    ]

import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):
    """The two tables of durable enqueues and of tasks that run once."""

    dependencies = [
        ('ardiq', '0001_initial'),
    ]

    operations = [
        migrations.CreateModel(
            name='Once',
            fields=[
                ('id', models.CharField(max_length=32, primary_key=True, serialize=False)),
                ('queue', models.CharField(max_length=100)),
                ('job', models.CharField(max_length=200)),
                ('result', models.BinaryField()),
                ('created', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                'verbose_name': 'task run once',
                'verbose_name_plural': 'tasks run once',
                'default_permissions': (),
                'indexes': [models.Index(fields=['queue', 'created'], name='ardiq_once_created')],
            },
        ),
        migrations.CreateModel(
            name='Outbox',
            fields=[
                ('id', models.CharField(max_length=32, primary_key=True, serialize=False, verbose_name='ID')),
                ('queue', models.CharField(max_length=100, verbose_name='queue')),
                ('job', models.CharField(max_length=200, verbose_name='job')),
                ('task', models.CharField(max_length=200, verbose_name='task')),
                ('lane', models.CharField(max_length=100, verbose_name='lane')),
                ('options', models.CharField(max_length=500)),
                ('tail', models.BinaryField()),
                ('size', models.PositiveIntegerField(verbose_name='size')),
                ('created', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), verbose_name='enqueued')),
                ('attempts', models.PositiveIntegerField(default=0, verbose_name='attempts')),
                ('error', models.CharField(default='', max_length=300, verbose_name='last error')),
            ],
            options={
                'verbose_name': 'job in the outbox',
                'verbose_name_plural': 'outbox',
                'ordering': ('id',),
                'default_permissions': ('view',),
                'indexes': [models.Index(fields=['queue', 'id'], name='ardiq_outbox_queue')],
            },
        ),
    ]

"""The tasks of the seed, async and sync, of a queue built in code."""

from ardiq import Ardiq
from shop import journal

app = Ardiq(priorities=["low", "default", "high"])
task = app.task


@task
async def add(a: int, b: int) -> int:
    journal.write("add", a, b)
    return a + b


@task
async def reminder(user_id: int) -> None:
    journal.write("reminder", user_id)


@task
def digest() -> None:
    journal.write("digest")


@task
def sync_account(account_id: int) -> None:
    journal.write("sync_account", account_id)


@task
async def notify(user_id: int) -> None:
    journal.write("notify", user_id)


@task
def report() -> None:
    journal.write("report")


@task
async def alert() -> None:
    journal.write("alert")

"""What ran, in order: a line in the file SEED_JOURNAL for each task that a worker ran."""

import os


def write(*words: object) -> None:
    with open(os.environ["SEED_JOURNAL"], "a") as file:
        print(*words, file=file)

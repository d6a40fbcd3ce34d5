"""``ardiq_demo``: a stream of jobs until somebody presses Ctrl-C."""

import random
import time

from django.core.management.base import OutputWrapper

from demo.ledger import Ledger
from demo.screen import Screen
from demo.stage import Stage
from demo.stream import ask_for_something
from library import work

LOOK_SECONDS = 0.5
# The share of looks at which something is asked for: about one errand, or two or three jobs, a second.
SHARE = 0.5


def play(stage: Stage, out: OutputWrapper) -> list[str]:
    """Ask, look and draw. Ends with KeyboardInterrupt, or with complaints when a child has fallen."""
    ledger, screen = Ledger(), Screen(out)
    stage.start_site()
    stage.start_worker()
    work.process(stage.samples)
    while not (complaints := stage.fallen()):
        if random.random() < SHARE:
            ask_for_something()
        ledger.refresh()
        screen.show(ledger.counts())
        time.sleep(LOOK_SECONDS)
    return complaints

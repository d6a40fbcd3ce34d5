"""What the processes of suspects are forked from (worker/suspects.py): the project, set up, and nothing else.

The standard library imports this in its fork server. It holds no thread, no loop and no connection, so that a
fork of it is in order. Should it fail here, each child sets the project up for itself and says what is wrong.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback

PATH = "ARDIQ_NURSERY_PATH"  # sys.path of the worker, which the fork server is not given


def _set_up() -> None:
    # The worker decides when its children end; a signal to the whole group is its affair.
    signal.signal(signal.SIGTERM, lambda number, frame: None)
    sys.path[:] = [part for part in os.environ.get(PATH, "").split(os.pathsep) if part] or sys.path
    if not os.environ.get("DJANGO_SETTINGS_MODULE"):
        return
    try:
        import django

        django.setup()
        from django.db import connections

        connections.close_all()
    except Exception:
        traceback.print_exc()


_set_up()

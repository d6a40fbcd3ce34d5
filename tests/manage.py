"""manage.py of the project in tests/settings.py, for the processes that tests start."""

import os
import sys
from pathlib import Path

if __name__ == "__main__":
    # tests/ itself must not be on the path: its folders would be found in place of packages.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)

"""The project of the seed document, as a user would have it; see tests/acceptance/test_seed.py."""

import os
import sys

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "seedsettings")
    execute_from_command_line(sys.argv)

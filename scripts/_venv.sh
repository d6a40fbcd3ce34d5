# Sourced by the scripts beside it, after `extras` is set: goes to the top of the tree, makes the virtual
# environment when it is missing, installs when what is declared has changed, and puts it first on PATH.
#
# PYTHON      the interpreter to make it with (default: the first of python3, python3.x that is 3.11 or newer)
# ARDIQ_VENV  where it lies (default: .venv)
# PIP_CONSTRAINT  pip's own: a file of versions; what was installed under another one is installed anew

set -eu
cd "$(dirname "$0")/.."
venv=${ARDIQ_VENV:-.venv}

say() { printf '%s\n' "$*" >&2; }
new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }
version_of() { "$1" -c 'import sys; print(sys.version)' 2>/dev/null || echo none; }

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        new_enough "$PYTHON" && echo "$PYTHON" && return
        say "PYTHON=$PYTHON is not a Python of 3.11 or newer."
        exit 1
    fi
    for name in python3 python3.13 python3.14 python3.12 python3.11; do
        new_enough "$name" && echo "$name" && return
    done
    say "No python3 of 3.11 or newer on PATH. Install one, or name one: PYTHON=/path/to/python3 $0"
    exit 1
}

make_venv() {
    say "Making the virtual environment $venv with $1 ..."
    "$1" -m venv --clear "$venv" && "$venv/bin/python" -m pip --version >/dev/null && return
    rm -rf "$venv"
    say "$1 cannot make a virtual environment with pip in it. On Debian and Ubuntu: apt install python3-venv"
    exit 1
}

if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    python=$(find_python)
    make_venv "$python"
elif [ -n "${PYTHON:-}" ] && [ "$(version_of "$PYTHON")" != "$(version_of "$venv/bin/python")" ]; then
    python=$(find_python)
    make_venv "$python"
fi

# One stamp for each set of extras: what was installed for one script does not count for another.
stamp="$venv/.installed-$(echo "$extras" | tr , -)"
constraint=${PIP_CONSTRAINT:-}
[ -f "$constraint" ] || constraint=/dev/null # none, or an address, which pip reads
declared="$(pwd) $(cat setup.cfg pyproject.toml "$constraint" | cksum)"
if [ "$(cat "$stamp" 2>/dev/null)" != "$declared" ]; then
    say "Installing ardiq and what it needs ($extras) into $venv ..."
    if ! "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -e ".[$extras]"; then
        say "pip could not install. Its message stands above; is the package index reachable from here?"
        exit 1
    fi
    echo "$declared" >"$stamp"
fi

PATH="$(cd "$venv" && pwd)/bin:$PATH"
export PATH

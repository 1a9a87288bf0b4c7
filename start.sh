#!/bin/sh
# Starts Headwater on a machine that has nothing but Python 3.11 or newer.
#
#   ./start.sh [KEY=VALUE ...]       install when needed, then run the demo, or MODE=master, MODE=worker
#   ./start.sh stop [DATA=FOLDER]    stop what runs there
#   ./start.sh --prepare [test]      only install: what a run needs, or what the tests need
#   ./start.sh COMMAND ...           any command of `headwater`, for example: ./start.sh nodes
#
# Standard output belongs to the command that is started; talk goes to standard error.
set -eu

ROOT=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P)
VENV=${VENV:-$ROOT/.venv}
PYTHON_CANDIDATES="python3 python3.14 python3.13 python3.12 python3.11"
LOCK_SECONDS_MAX=900 # A slow line may take minutes for its first installation.

fail() {
    printf 'start.sh: %s\n' "$*" >&2
    exit 2
}

# Prints the first Python that is new enough, as the path of the real interpreter.
find_python() {
    for name in $PYTHON_CANDIDATES; do
        if "$name" -I -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            "$name" -I -c 'import os, sys; print(os.path.realpath(sys.executable))'
            return
        fi
    done
    fail "Headwater needs Python 3.11 or newer; on Debian and Ubuntu: apt install python3 python3-venv"
}

# What an installation was made from: the lock, the place, and the Python inside. Any change installs anew.
# The Python is asked, not remembered, because an upgrade of the system can break a virtual environment.
fingerprint() {
    printf '%s %s %s\n' "$(cksum <"$ROOT/$1")" "$ROOT" \
        "$("$VENV/bin/python" -I -S -c 'import sys; print(sys.version)' 2>/dev/null || echo none)"
}

is_current() {
    [ -f "$VENV/$1.stamp" ] && [ "$(fingerprint "$1")" = "$(cat "$VENV/$1.stamp")" ]
}

# mkdir is atomic everywhere; the process id inside tells a running installation from a killed one.
take_turn() {
    waited=0
    while ! mkdir "$VENV.lock" 2>/dev/null; do
        [ -d "$VENV.lock" ] || fail "cannot write to $(dirname -- "$VENV"): name a writable place, as in VENV=\$HOME/.headwater-venv"
        holder=$(cat "$VENV.lock/pid" 2>/dev/null || echo)
        if [ "$waited" -gt 2 ] && ! { [ -n "$holder" ] && kill -0 "$holder" 2>/dev/null; }; then
            rm -rf "$VENV.lock"
            continue
        fi
        [ "$waited" -gt 0 ] || echo "start.sh: another start.sh is installing; waiting for it" >&2
        [ "$waited" -lt "$LOCK_SECONDS_MAX" ] || fail "process $holder has been installing for $waited seconds; stop it and try again"
        waited=$((waited + 1))
        sleep 1
    done
    trap 'rm -rf "$VENV.lock"' EXIT
    trap 'exit 130' INT HUP TERM
    echo $$ >"$VENV.lock/pid"
}

give_turn() {
    rm -rf "$VENV.lock"
    trap - EXIT INT HUP TERM
}

# A virtual environment that works is kept: installing over it is quicker than starting again.
make_venv() {
    "$VENV/bin/python" -I -c 'import pip' 2>/dev/null && return
    python=$(find_python)
    "$python" -I -c 'import venv, ensurepip' 2>/dev/null ||
        fail "$python cannot make virtual environments; on Debian and Ubuntu: apt install python3-venv"
    # Only what this script made is removed again.
    [ ! -e "$VENV" ] || [ -f "$VENV/made-by-start.sh" ] ||
        fail "$VENV exists and is not a virtual environment of ours; move it away or choose another VENV"
    rm -rf "$VENV"
    mkdir -p "$VENV" && : >"$VENV/made-by-start.sh"
    "$python" -m venv "$VENV" >&2 || fail "could not make a virtual environment in $VENV (see above)"
}

# The project is used from where it lies: a path file and a launcher, and no build step that could fail.
add_project() {
    site=$("$VENV/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    printf '%s\n' "$ROOT" >"$site/headwater.pth"
    printf '#!/bin/sh\nexec "%s/bin/python" -P -m shared.main "$@"\n' "$VENV" >"$VENV/bin/headwater"
    chmod +x "$VENV/bin/headwater"
}

install() {
    rm -f "$VENV/$1.stamp"
    make_venv
    echo "start.sh: installing $1 into $VENV (once; a minute or so)" >&2
    "$VENV/bin/python" -m pip install --disable-pip-version-check --no-input --quiet --quiet \
        --require-hashes --only-binary :all: -r "$ROOT/$1" >&2 ||
        fail "could not install what $1 lists (see above); check the network and try again"
    add_project
    fingerprint "$1" >"$VENV/$1.stamp"
    # The lock of the tests holds the same versions of all that a run needs, and more.
    [ "$1" != requirements-test.lock ] || fingerprint requirements.lock >"$VENV/requirements.lock.stamp"
}

prepare() {
    is_current "$1" && return
    take_turn
    is_current "$1" || install "$1"
    give_turn
}

# The settings are checked before a long installation, with whatever Python there is.
check_settings() {
    is_current requirements.lock && return
    python=$(find_python)
    PYTHONPATH="$ROOT" PYTHONDONTWRITEBYTECODE=1 "$python" -P -m shared.start --check "$@"
}

# Each word is taken from the front and, unless it ends here, put back at the end.
for argument in "$@"; do
    shift
    case $argument in
    VENV=*) VENV=${argument#VENV=} ;;
    # Everybody on the machine can read command lines, so the secret travels in the environment.
    CLUSTER_KEY=?*) export HEADWATER_CLUSTER_KEY="${argument#CLUSTER_KEY=}" ;;
    *) set -- "$@" "$argument" ;;
    esac
done
case $VENV in
/*) ;;
*) VENV=$PWD/$VENV ;;
esac

case ${1-} in
--prepare)
    case ${2-} in
    '') prepare requirements.lock ;;
    test) prepare requirements-test.lock ;;
    *) fail "--prepare knows 'test' or nothing, not '$2'" ;;
    esac
    exit
    ;;
'' | *=*)
    check_settings "$@"
    prepare requirements.lock
    exec "$VENV/bin/headwater" start "$@"
    ;;
stop)
    [ -x "$VENV/bin/headwater" ] || {
        echo "start.sh: nothing to stop, since nothing was started from here" >&2
        exit
    }
    exec "$VENV/bin/headwater" "$@"
    ;;
*)
    prepare requirements.lock
    exec "$VENV/bin/headwater" "$@"
    ;;
esac

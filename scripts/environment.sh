# Sourced by the other scripts: creates .venv with the project and the given extras, unless it exists already.
# usage: environment EXTRAS     (for example: environment plots,tests)
environment() {
    local extras=$1 root python
    root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
    cd "$root"
    if [ ! -x .venv/bin/python ]; then
        for python in python3 python3.14 python3.13 python3.12 python3.11 none; do
            if [ "$python" = none ]; then
                echo "Python 3.11 or newer is needed." >&2
                return 1
            fi
            "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && break
        done
        rm -rf .venv
        if ! "$python" -m venv .venv; then
            rm -rf .venv
            if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
                apt-get update -qq && apt-get install -y -qq python3-venv && "$python" -m venv .venv
            else
                echo "Python's venv is missing; on Debian and Ubuntu: apt-get install python3-venv" >&2
                return 1
            fi
        fi
    fi
    # Record what is installed, so that the next run starts at once.
    local versions
    versions=$(cat pyproject.toml constraints.txt | cksum)
    if ! grep -qxF "$extras $versions" .venv/installed 2>/dev/null; then
        echo "Installing seq2seq and its extras $extras into .venv ..."
        .venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[$extras]"
        # What was installed for other versions may have been replaced.
        { grep -F " $versions" .venv/installed 2>/dev/null || true; echo "$extras $versions"; } >.venv/installed.new
        mv .venv/installed.new .venv/installed
    fi
}

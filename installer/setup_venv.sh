#!/bin/sh
# Make .venv with everything that Stellacube needs; also what Qt wants from the system, where we may install it.
# usage: sh installer/setup_venv.sh        (from the repository's root; PYTHON=... chooses the interpreter)
set -eu

say() { printf 'stellacube set-up: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

# Run a command as root if that needs no password; otherwise fail.
as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then sudo -n "$@"
    else return 1
    fi
}

apt_install() {
    command -v apt-get >/dev/null 2>&1 || return 1
    as_root true || return 1
    as_root env DEBIAN_FRONTEND=noninteractive apt-get update -q >&2 &&
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@" >&2
}

find_python() {
    for candidate in "${PYTHON:-}" python3.13 python3.12 python3.11 python3; do
        if [ -n "$candidate" ] && command -v "$candidate" >/dev/null 2>&1 &&
            "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
}

# The Debian packages whose shared libraries Qt's window system wants and the machine lacks.
missing_qt_packages() {
    while read -r library package; do
        "$python" -c "import ctypes; ctypes.CDLL('$library')" 2>/dev/null || printf '%s ' "$package"
    done <<'LIST'
libGL.so.1 libgl1
libEGL.so.1 libegl1
libxkbcommon.so.0 libxkbcommon0
libdbus-1.so.3 libdbus-1-3
libfontconfig.so.1 libfontconfig1
libfreetype.so.6 libfreetype6
libglib-2.0.so.0 libglib2.0-0
libX11-xcb.so.1 libx11-xcb1
libxkbcommon-x11.so.0 libxkbcommon-x11-0
libxcb-cursor.so.0 libxcb-cursor0
libxcb-icccm.so.4 libxcb-icccm4
libxcb-image.so.0 libxcb-image0
libxcb-keysyms.so.1 libxcb-keysyms1
libxcb-randr.so.0 libxcb-randr0
libxcb-render-util.so.0 libxcb-render-util0
libxcb-shape.so.0 libxcb-shape0
libxcb-xkb.so.1 libxcb-xkb1
LIST
}

# PyPI's Linux wheels of torch bring CUDA (gigabytes); PyTorch's own index has the CPU build.
install_torch_cpu() {
    index=https://download.pytorch.org/whl/cpu
    if [ "$(uname -s)" = Linux ] && "$venv_python" - "$index/torch/" 2>/dev/null <<'PY'
import sys, urllib.request
urllib.request.urlopen(sys.argv[1], timeout=10).close()
PY
    then "$venv_python" -m pip install -q --index-url "$index" "$torch"
    else "$venv_python" -m pip install -q "$torch"
    fi
}

python=$(find_python)
[ -n "$python" ] || fail "Python 3.11, 3.12 or 3.13 is needed and none was found; install one, or name it with PYTHON=/path/to/python."

if [ "$(uname -s)" = Linux ]; then
    packages=$(missing_qt_packages)
    if [ -n "$packages" ]; then
        say "installing what Qt needs from the system: $packages"
        # shellcheck disable=SC2086
        apt_install $packages ||
            say "the window needs these system packages, which could not be installed without a password: $packages"
    fi
fi

venv_python=.venv/bin/python
if [ ! -x "$venv_python" ] || ! "$venv_python" -m pip --version >/dev/null 2>&1; then
    if ! "$python" -c 'import ensurepip' 2>/dev/null; then
        version=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
        apt_install "$version" || fail "Python's venv module is missing; install the package $version."
    fi
    rm -rf .venv
    "$python" -m venv .venv
fi

torch=$("$venv_python" -c '
import tomllib
print(next(d for d in tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"] if d.startswith("torch")))')
say "installing Python packages into .venv (about 2 GB, once)"
"$venv_python" -c 'import torch' 2>/dev/null || install_torch_cpu
"$venv_python" -m pip install -q -e ".[dev]"

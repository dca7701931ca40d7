#!/bin/sh
# Build the bundle and, on Linux, the .deb and .run from it, into dist/.
# usage: sh installer/build.sh     (from the repository's root; STELLACUBE_WITHOUT_TORCH=1 leaves PyTorch out)
set -eu
python=.venv/bin/python
version=$("$python" -c 'import tomllib; print(tomllib.load(open("pyproject.toml", "rb"))["project"]["version"])')
machine=$(uname -m)
say() { printf 'installer: %s\n' "$*" >&2; }
size() { du -m "$1" | awk '{ size = $1 } END { print size " MB" }'; }

for tool in dpkg-deb makeself ar; do
    command -v "$tool" >/dev/null || { say "$tool is needed: sudo apt install dpkg makeself binutils"; exit 1; }
done
"$python" -c 'import PyInstaller' 2>/dev/null || "$python" -m pip install -q -e ".[build]"

start=$(date +%s)
"$python" -m PyInstaller --noconfirm --log-level WARN installer/stellacube.spec
say "bundle: $(size dist/stellacube) after $(($(date +%s) - start)) s"
deb=dist/stellacube_${version}_$(dpkg --print-architecture).deb
run=dist/stellacube-$version-$machine.run
sh installer/linux/build_deb.sh dist/stellacube "$version" "$deb"
say "$deb: $(size "$deb") after $(($(date +%s) - start)) s"
sh installer/linux/build_run.sh "$deb" "$version" "$run"
say "$run: $(size "$run") after $(($(date +%s) - start)) s"

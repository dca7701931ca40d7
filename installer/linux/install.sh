#!/bin/sh
# Install what this archive holds: for one user below ~/.local, for all below /usr/local when root does it.
# usage: stellacube-VERSION.run [-- --prefix FOLDER]
set -eu
if [ "$(id -u)" = 0 ]; then prefix=/usr/local; else prefix=$HOME/.local; fi
if [ "${1:-}" = --prefix ] && [ -n "${2:-}" ]; then prefix=$2; fi
if ! mkdir -p "$prefix" 2>/dev/null || ! [ -w "$prefix" ]; then
    echo "Cannot write to $prefix. Choose another folder: -- --prefix FOLDER" >&2
    exit 1
fi
command -v xz >/dev/null || { echo "The program xz is needed to unpack; install xz-utils (Debian) or xz." >&2; exit 1; }
prefix=$(cd "$prefix" && pwd)

if [ -x "$prefix/bin/stellacube-uninstall" ]; then "$prefix/bin/stellacube-uninstall" >/dev/null; fi # an older version
mkdir -p "$prefix"
xz -dc data.tar.xz | tar -x --no-same-owner --strip-components=2 --exclude=./usr/share/lintian -C "$prefix" ./usr
install -m755 uninstall.sh "$prefix/bin/stellacube-uninstall"
# Menus do not look along a user's own PATH.
sed -i "s|^Exec=stellacube|Exec=\"$prefix/bin/stellacube\"|" "$prefix/share/applications/stellacube.desktop"
if command -v update-desktop-database >/dev/null; then update-desktop-database -q "$prefix/share/applications" || true; fi
if command -v update-mime-database >/dev/null; then update-mime-database "$prefix/share/mime" >/dev/null 2>&1 || true; fi
echo "Stellacube is installed: $prefix/bin/stellacube. To remove it: $prefix/bin/stellacube-uninstall"

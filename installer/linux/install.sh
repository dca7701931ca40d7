#!/bin/sh
# Install what this archive holds: for one user below ~/.local, for all below /usr/local when root does it.
# usage: stellacube-VERSION.run [-- --prefix FOLDER]
set -eu
if [ "$(id -u)" = 0 ]; then prefix=/usr/local; else prefix=$HOME/.local; fi
if [ "${1:-}" = --prefix ] && [ -n "${2:-}" ]; then prefix=$2; fi
mkdir -p "$prefix" && prefix=$(cd "$prefix" && pwd)
[ -w "$prefix" ] || { echo "Cannot write to $prefix. Choose another folder: -- --prefix FOLDER" >&2; exit 1; }

[ ! -x "$prefix/bin/stellacube-uninstall" ] || "$prefix/bin/stellacube-uninstall" >/dev/null   # an older version
mkdir -p "$prefix/bin" "$prefix/lib"
{
    echo '#!/bin/sh'
    echo '# Remove Stellacube; results and settings of users stay.'
    echo 'prefix=$(cd "$(dirname "$0")/.." && pwd)'
    echo 'rm -rf "$prefix/lib/stellacube"'
    (cd payload && find . -path ./lib -prune -o ! -type d -printf 'rm -f "$prefix/%P"\n')
    echo 'rm -f "$prefix/bin/stellacube-uninstall"'
    # Folders that are empty now go too, from the deepest.
    (cd payload && find . -depth -mindepth 1 -type d ! -path './lib/stellacube*' \
        -printf 'rmdir "$prefix/%P" 2>/dev/null || true\n')
    echo 'if command -v update-desktop-database >/dev/null; then update-desktop-database -q "$prefix/share/applications" 2>/dev/null || true; fi'
    echo 'if command -v update-mime-database >/dev/null && [ -d "$prefix/share/mime" ]; then update-mime-database "$prefix/share/mime" || true; fi'
    echo 'echo "Stellacube is removed from $prefix."'
} > payload/uninstall
cp -a payload/lib/stellacube "$prefix/lib/"
cp -a payload/bin payload/share "$prefix/"
install -m755 payload/uninstall "$prefix/bin/stellacube-uninstall"
# Menus do not look along a user's own PATH.
sed -i "s|^Exec=stellacube|Exec=\"$prefix/bin/stellacube\"|" "$prefix/share/applications/stellacube.desktop"
if command -v update-desktop-database >/dev/null; then update-desktop-database -q "$prefix/share/applications" || true; fi
if command -v update-mime-database >/dev/null; then update-mime-database "$prefix/share/mime" || true; fi
echo "Stellacube is installed: $prefix/bin/stellacube. To remove it: $prefix/bin/stellacube-uninstall"

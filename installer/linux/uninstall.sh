#!/bin/sh
# Remove what stellacube-VERSION.run installed; results and settings of users stay.
set -eu
cd "$(dirname "$0")/.."
rm -rf lib/stellacube share/doc/stellacube
rm -f bin/stellacube bin/stellacube-uninstall share/applications/stellacube.desktop \
    share/metainfo/io.github.stellacube.metainfo.xml share/mime/packages/stellacube.xml share/man/man1/stellacube.1.gz \
    share/icons/hicolor/scalable/apps/stellacube.svg share/icons/hicolor/256x256/apps/stellacube.png
# What is made from such files is made anew from those of others, or goes with the last.
if ls share/applications/*.desktop >/dev/null 2>&1; then update-desktop-database -q share/applications || true
else rm -f share/applications/mimeinfo.cache; fi
if ls share/mime/packages/*.xml >/dev/null 2>&1; then update-mime-database share/mime || true
else rm -rf share/mime; fi
for folder in bin lib share/doc share/applications share/metainfo share/mime/packages share/man/man1 \
    share/icons/hicolor/scalable/apps share/icons/hicolor/256x256/apps; do
    [ ! -d "$folder" ] || rmdir -p --ignore-fail-on-non-empty "$folder"
done
echo "Stellacube is removed from $PWD."

#!/bin/sh
# Lay out the files of an installation below PREFIX, as packages for Linux have them.
# usage: installer/linux/stage.sh BUNDLE PREFIX VERSION
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
bundle=$1 prefix=$2 version=$3
date=$(sed -n 's/.*<release version="[^"]*" date="\([^"]*\)".*/\1/p' "$here/io.github.stellacube.metainfo.xml" | head -1)

install -d "$prefix/bin" "$prefix/lib" "$prefix/share/man/man1"
cp -a "$bundle" "$prefix/lib/stellacube"
ln -s ../lib/stellacube/stellacube "$prefix/bin/stellacube"
install -Dm644 "$here/stellacube.desktop" -t "$prefix/share/applications"
install -Dm644 "$here/io.github.stellacube.metainfo.xml" -t "$prefix/share/metainfo"
install -Dm644 "$here/stellacube-mime.xml" "$prefix/share/mime/packages/stellacube.xml"
install -Dm644 "$root/resources/icons/stellacube.svg" -t "$prefix/share/icons/hicolor/scalable/apps"
install -Dm644 "$root/build/icons/stellacube.png" -t "$prefix/share/icons/hicolor/256x256/apps"
sed -e "s/@VERSION@/$version/" -e "s/@DATE@/$date/" "$here/stellacube.1" | gzip -9n > "$prefix/share/man/man1/stellacube.1.gz"
# Wheels carry files that are executable or hidden by mistake.
find "$prefix/lib/stellacube" -name .gitignore -delete
find "$prefix/lib/stellacube" -type f ! -name stellacube ! -name torch_shm_manager -perm /111 -exec chmod a-x {} +
chmod -R u=rwX,go=rX "$prefix"

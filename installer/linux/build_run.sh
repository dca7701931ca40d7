#!/bin/sh
# Make a self-extracting installer for any Linux with glibc 2.34 or later, around the files of the Debian package.
# usage: installer/linux/build_run.sh PACKAGE.deb VERSION OUT.run     (needs makeself and ar)
set -eu
here=$(cd "$(dirname "$0")" && pwd)
deb=$1 version=$2 out=$3
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
ar p "$deb" data.tar.xz >"$stage/data.tar.xz"
install -m755 "$here/install.sh" "$here/uninstall.sh" -t "$stage"
makeself --nocomp --nox11 --quiet --sha256 --tar-extra "--owner=0 --group=0" "$stage" "$out" "Stellacube $version" ./install.sh

#!/bin/sh
# Make a self-extracting installer for any Linux with glibc 2.34 or later; needs makeself.
# usage: installer/linux/build_run.sh BUNDLE VERSION OUT.run
set -eu
here=$(cd "$(dirname "$0")" && pwd)
bundle=$1 version=$2 out=$3
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
sh "$here/stage.sh" "$bundle" "$stage/payload" "$version"
install -m755 "$here/install.sh" "$here/uninstall.sh" -t "$stage"
makeself --xz --threads 0 --nox11 --quiet --sha256 --tar-extra "--owner=0 --group=0" "$stage" "$out" "Stellacube $version" ./install.sh

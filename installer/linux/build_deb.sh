#!/bin/sh
# Make a Debian package from the bundle.
# usage: installer/linux/build_deb.sh BUNDLE VERSION OUT.deb     (XZ_LEVEL: 1 takes a quarter of the time of 6 for a tenth more)
set -eu
here=$(cd "$(dirname "$0")" && pwd)
bundle=$1 version=$2 out=$3
python=${PYTHON:-.venv/bin/python}
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
chmod 755 "$stage"

sh "$here/stage.sh" "$bundle" "$stage/usr" "$version"
doc=$stage/usr/share/doc/stellacube
install -d "$doc" "$stage/DEBIAN"
install -Dm644 "$here/lintian-overrides" "$stage/usr/share/lintian/overrides/stellacube"
"$python" "$here/../licences.py" > "$doc/copyright"
gzip -9n > "$doc/changelog.gz" <<TEXT
stellacube ($version) unstable; urgency=medium

  * Release $version.

 -- Stellacube developers <stellacube@users.noreply.github.com>  $(date -Ru)
TEXT
cat > "$stage/DEBIAN/control" <<TEXT
Package: stellacube
Version: $version
Architecture: $(dpkg --print-architecture)
Maintainer: Stellacube developers <stellacube@users.noreply.github.com>
Installed-Size: $(du -sk --apparent-size "$stage/usr" | cut -f1)
Depends: $(grep -v '^#' "$here/depends" | paste -sd, | sed 's/,/, /g')
Recommends: libwayland-client0, libwayland-cursor0, libwayland-egl1, xdg-utils
Section: science
Priority: optional
Description: stellar labels from MUSE data cubes
 From a data cube of the MUSE spectrograph and a star list to a catalogue of
 stellar labels: PSF-fitting extraction of one spectrum per star, fits of
 temperature, gravity, abundances and velocity with neural networks, errors and
 quality flags. A window shows cube, spectra, fits and diagrams; the same engine
 runs from the command line.
 .
 The package brings its own Python, Qt and numerical libraries.
TEXT
(cd "$stage" && find usr -type f -print0 | sort -z | xargs -0 md5sum) > "$stage/DEBIAN/md5sums"
dpkg-deb --root-owner-group -Zxz -z"${XZ_LEVEL:-1}" --build "$stage" "$out"

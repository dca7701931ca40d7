#!/bin/sh
# Make a disk image from Stellacube.app: drag the program on the folder beside it.
# usage: installer/macos/build_dmg.sh dist/Stellacube.app OUT.dmg
# CODESIGN_IDENTITY signs with a certificate; without it the signature is ad hoc, and the first start needs a right click.
set -eu
application=$1 out=$2
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
codesign --force --deep --options runtime --sign "${CODESIGN_IDENTITY:--}" \
    --entitlements "$(dirname "$0")/entitlements.plist" "$application"
codesign --verify --deep --strict "$application"
ditto "$application" "$stage/Stellacube.app"
ln -s /Applications "$stage/Applications"
hdiutil create -volname Stellacube -srcfolder "$stage" -fs HFS+ -format UDZO -ov "$out"

#!/bin/sh
# Install the Debian package in a Debian 12 that has nothing else, try it in every way users will, and remove it.
# usage (as root): sh installer/test_deb.sh dist/stellacube_VERSION_amd64.deb [dist/stellacube-VERSION-x86_64.run]
# Here it needs debootstrap, xvfb, xdotool, imagemagick, and .venv for the window that files are dragged from.
# CHROOT (default /srv/stellacube-test) keeps a pristine base; MIRROR is that of this machine's own apt unless given.
set -eu
deb=$(realpath "$1") run=${2:+$(realpath "$2")}
here=$(cd "$(dirname "$0")" && pwd)
top=${CHROOT:-/srv/stellacube-test}
mirror=${MIRROR:-$({ sed -n 's/^URIs: *//p' /etc/apt/sources.list.d/*.sources
    sed -n 's/^deb \(\[.*\] \)\?\(http[^ ]*\) .*/\2/p' /etc/apt/sources.list; } 2>/dev/null | grep debian | head -1)}
base=$top/base root=$top/root pictures=${PICTURES:-dist/screenshots}
display=${XDISPLAY:-:97}
# A home as people have them.
user=eva
home="/home/Éva Ångström"
failures=0 jobs=

say() { printf '%s\n' "$*"; }
ok() { say "ok      $*"; }
bad() { say "FAILED  $*"; failures=$((failures + 1)); }
check() { what=$1; shift; if "$@"; then ok "$what"; else bad "$what"; fi; }
now() { date +%s.%N; }
since() { echo "$(now) $1" | awk '{ printf "%.1f s", $1 - $2 }'; }

finish() {
    # shellcheck disable=SC2086
    [ -z "$jobs" ] || kill $jobs 2>/dev/null || true
    for place in proc dev/shm dev/null tmp/.X11-unix; do
        if mountpoint -q "$root/$place"; then umount -l "$root/$place"; fi
    done
}
trap finish EXIT

inside() { chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@"; }
# As the user, with nothing in the environment but what is given: as_user FOLDER [NAME=VALUE...] command...
as_user() { folder=$1; shift; chroot --userspec=$user:$user "$root" env -i -C "$folder" PATH=/usr/bin:/bin HOME="$home" "$@"; }
# Wait up to SECONDS for a command to succeed.
await() { seconds=$1; shift; n=0; until "$@" >/dev/null 2>&1; do n=$((n + 1)); [ $n -lt $((seconds * 5)) ] || return 1; sleep 0.2; done; }
window() { DISPLAY=$display xdotool search --onlyvisible --name "$1"; }
picture() { DISPLAY=$display import -window root "$pictures/$1.png"; }
files() { (cd "$root" && find . -xdev \( -path ./proc -o -path ./dev -o -path ./tmp -o -path ./var/cache -o -path ./var/lib/apt \
    -o -path ./var/lib/dpkg -o -path ./var/log \) -prune -o -print | LC_ALL=C sort); }

# A pristine system
mkdir -p "$top"
[ -d "$base/usr" ] || debootstrap --variant=minbase bookworm "$base" "$mirror" >"$top/log" 2>&1
finish
rm -rf "$root"
cp -a --reflink=auto "$base" "$root"
mkdir -p "$pictures" "$root/tmp/.X11-unix"
mount -t proc proc "$root/proc"
mkdir -p "$root/dev/shm" && mount -t tmpfs tmpfs "$root/dev/shm"
[ -c "$root/dev/null" ] || { touch "$root/dev/null"; mount --bind /dev/null "$root/dev/null"; }
mkdir -p /tmp/.X11-unix && mount --bind /tmp/.X11-unix "$root/tmp/.X11-unix"
inside useradd --create-home --home-dir "$home" $user
inside apt-get -q update >/dev/null
files >"$top/before"
check "Debian $(cat "$root/etc/debian_version") without Python" test ! -e "$root/usr/bin/python3"

# Installing
cp "$deb" "$root/tmp/stellacube.deb"
start=$(now)
inside apt-get -q -y --no-install-recommends install /tmp/stellacube.deb >"$top/log" 2>&1 || { cat "$top/log"; exit 1; }
ok "installed in $(since "$start"), $(grep -c '^Setting up' "$top/log") packages, \
$(du -sm "$root/usr/lib/stellacube" | cut -f1) MB of its own"
check "files as packaged" inside dpkg --verify stellacube
missing=$(inside sh -c 'find /usr/lib/stellacube -name "*.so*" -type f | while read -r f; do
    LD_LIBRARY_PATH=/usr/lib/stellacube/_internal:/usr/lib/stellacube/_internal/torch/lib ldd "$f" 2>/dev/null; done' |
    awk '/not found/ { print $1 }' | sort -u | tr '\n' ' ')
check "no library is missing but Wayland's, which are recommended: ${missing:-none}" \
    test -z "$(echo "$missing" | tr ' ' '\n' | grep -v -e '^libwayland' -e '^$')"

# Without a display
start=$(now)
if as_user / stellacube --self-check >"$top/check" 2>&1; then ok "--self-check, env -i, no display, $(since "$start")"
else bad "--self-check without a display"; fi
grep -v '%' "$top/check" | sed 's/^/        /'
code=0; said=$(as_user / stellacube 2>&1) || code=$?
check "no display is a sentence, exit code $code: $said" test "$code" = 2 -a "$(echo "$said" | wc -l)" = 1
code=0; said=$(as_user / DISPLAY=:55 stellacube 2>&1) || code=$?
check "a dead display is a sentence, exit code $code: $said" test "$code" = 2 -a "$(echo "$said" | wc -l)" = 1
check "the command line, from another folder" as_user /usr/share stellacube simulate --n-stars 40 --out "$home/données"
check "manual page" inside test -s /usr/share/man/man1/stellacube.1.gz

# With a display
Xvfb "$display" -screen 0 1920x1200x24 -dpi 96 -ac >/dev/null 2>&1 &
jobs=$!
await 10 env DISPLAY="$display" xdotool getmouselocation || { bad "no Xvfb"; exit 1; }

# open NAME ENVIRONMENT... -- FILES...: start the window, take a picture, leave it running as $program
open() {
    name=$1; shift
    start=$(now)
    as_user / DISPLAY="$display" "$@" >"$top/$name.log" 2>&1 &
    program=$!
    jobs="$jobs $program"
    if await 30 window 'Stellacube$'; then ok "$name: window after $(since "$start")"; else bad "$name: no window"; fi
}
close() {
    sleep 3
    picture "$name"
    DISPLAY=$display xdotool windowfocus "$(window "Stellacube\$" | head -1)" key ctrl+q || true
    await 10 sh -c "! kill -0 $program" || { bad "$name: does not end"; kill "$program"; }
    check "$name: nothing on the error stream" test ! -s "$top/$name.log"
    [ ! -s "$top/$name.log" ] || sed 's/^/        /' "$top/$name.log"
}

open first stellacube
close
open again stellacube
close
open argument stellacube "$home/données/field.fits" "$home/données/field_stars.csv"
close
open scale-150 QT_SCALE_FACTOR=1.5 stellacube "$home/données/field.fits"
close
start=$(now)
if as_user / DISPLAY="$display" stellacube --self-check >"$top/check" 2>&1; then ok "--self-check on the display, $(since "$start")"
else bad "--self-check on the display"; fi
grep 'window' "$top/check" | sed 's/^/        /'
inside chmod -R a-w "$home"
open read-only-home stellacube "$home/données/field.fits"
close
inside chmod -R u+w "$home"

# Drop a cube and its stars on the window, run, and see the catalogue
open drop stellacube
sleep 1
cp -a "$root$home/données" "$root/tmp/drop é" && chmod -R a+rwX "$root/tmp/drop é"
DISPLAY=$display QT_QPA_PLATFORM=xcb "$here/../.venv/bin/python" "$here/drag_files.py" 1700 1100 \
    "/tmp/drop é/field.fits" "/tmp/drop é/field_stars.csv" 2>/dev/null &
jobs="$jobs $!"
await 20 window 'drag source'
export DISPLAY="$display"
xdotool mousemove 1740 1130 mousedown 1
for step in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do
    sleep 0.12
    xdotool mousemove $((1740 - 80 * step)) $((1130 - 45 * step))
done
sleep 0.3
xdotool mouseup 1
if await 30 window 'Simulated field'; then ok "a dropped cube is shown"; else bad "a dropped cube is not shown"; fi
sleep 3
picture dropped
xdotool windowfocus "$(window 'Stellacube$' | tail -1)" key ctrl+r
await 10 window '^Run$' || bad "no dialog of the run"
sleep 0.5
picture dialog
xdotool windowfocus "$(window '^Run$' | tail -1)" key Return
start=$(now)
if await 300 test -s "$root/tmp/drop é/field_stellacube/field_catalogue.csv"; then
    ok "run after the drop: catalogue of $(($(wc -l <"$root/tmp/drop é/field_stellacube/field_catalogue.csv") - 1)) lines in $(since "$start")"
else bad "no catalogue after the drop"; fi
sleep 5
name=drop
close

# The same from the self-extracting archive, for the user alone
if [ -n "$run" ]; then
    inside apt-get -q -y install xz-utils >/dev/null 2>&1
    cp "$run" "$root/tmp/stellacube.run"
    (cd "$root$home" && find . -path ./.cache -prune -o -print | LC_ALL=C sort) >"$top/home.before"
    start=$(now)
    if as_user "$home" sh /tmp/stellacube.run --quiet >"$top/log" 2>&1; then ok ".run installed in $(since "$start")"
    else bad ".run: $(cat "$top/log")"; fi
    open run-argument "$home/.local/bin/stellacube" "$home/données/field.fits"
    close
    as_user "$home" "$home/.local/bin/stellacube-uninstall" >/dev/null
    (cd "$root$home" && find . -path ./.cache -prune -o -print | LC_ALL=C sort) >"$top/home.after"
    check ".run uninstalled without a trace" cmp -s "$top/home.before" "$top/home.after"
    rm "$root/tmp/stellacube.run"
    inside apt-get -q -y purge xz-utils >/dev/null 2>&1
fi

# Removing
rm -rf "$root/tmp/drop é" "$root/tmp/stellacube.deb"
inside apt-get -q -y purge stellacube >/dev/null 2>&1
inside apt-get -q -y autoremove --purge >/dev/null 2>&1
files >"$top/after"
left=$(comm -13 "$top/before" "$top/after" | grep -v "^\./home/" || true)
check "removed; nothing is left but in the user's home: ${left:-nothing}" test -z "$left"
comm -13 "$top/before" "$top/after" | grep -v -e '/.cache/fontconfig/' | sed 's/^/        /'
say "$failures failures; pictures in $pictures"
[ "$failures" = 0 ]

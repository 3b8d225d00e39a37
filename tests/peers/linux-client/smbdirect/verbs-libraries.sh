#!/bin/bash
# libibverbs, librdmacm and the drivers of siw and rxe for the guest, out of Debian's packages. They are unpacked and not installed: this
# host has no RDMA device. Prints the folder that has them; fetches them on the first run and keeps them. `--if-there` only
# looks.
set -euo pipefail

cache=${LC_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/linux-client}
made=$cache/verbs
packages=(ibverbs-providers libibverbs1 librdmacm1 libnl-3-200 libnl-route-3-200)

die() { echo "verbs-libraries.sh: $*" >&2; exit 1; }

[ -d "$made" ] && { echo "$made"; exit 0; }
[ "${1:-}" != --if-there ] || die "there is no $made: run $0"

mkdir -p "$cache"
work=$(mktemp -d "$cache/verbs.XXXXXX")
trap 'rm -rf "$work"' EXIT

fetch() { (cd "$work" && apt-get -qq -o APT::Sandbox::User=root download "${packages[@]}" >&2); }
fetch || { apt-get -qq update >&2 && fetch; } || die "cannot fetch ${packages[*]} with apt-get download"
for package in "$work"/*.deb; do
    dpkg-deb -x "$package" "$work/out"
done
# Whole or not at all, for runs side by side.
mv -T "$work/out" "$made" 2>/dev/null || [ -d "$made" ]
echo "$made"

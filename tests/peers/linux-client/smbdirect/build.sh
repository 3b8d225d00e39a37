#!/bin/bash
# A Linux kernel for the guest with SMB Direct on both sides, cifs.ko and ksmbd,
# and the software RDMA drivers siw (iWARP) and rxe (RoCE), all built in; and
# the programs of ksmbd-tools beside it. Prints the folder that has them:
# bzImage, ksmbd/. Builds them on the first run (5 minutes on two processors)
# and keeps them: `build.sh --if-built` only looks.
#
# Needs (Debian): gcc make bc flex bison libelf-dev xz-utils, and package lists
# with linux-source-6.12 (Debian 12: those of security) and ksmbd-tools. That
# package conflicts with samba, so it is unpacked and not installed.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${LC_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/linux-client}
source_package=linux-source-6.12
key=$(sha256sum < "$here/kernel.config" | cut -c1-16)
made=$cache/smbdirect-$key

die() { echo "build.sh: $*" >&2; exit 1; }

[ -e "$made/bzImage" ] && { echo "$made"; exit 0; }
[ "${1:-}" != --if-built ] || die "there is no $made: run $here/build.sh"

mkdir -p "$cache"
exec 9>"$cache/smbdirect.lock"
flock 9      # a run beside this one may build it
[ -e "$made/bzImage" ] && { echo "$made"; exit 0; }

for t in gcc make bc flex bison xz dpkg-deb apt-get; do
    command -v $t >/dev/null || die "$t is missing"
done
[ -e /usr/include/gelf.h ] || die "gelf.h is missing: install libelf-dev"

work=$(mktemp -d "$cache/smbdirect.XXXXXX")
trap 'rm -rf "$work"' EXIT

fetch() {    # the packages, into $work
    (cd "$work" && apt-get -qq -o APT::Sandbox::User=root download "$source_package" ksmbd-tools >&2)
}
# Package lists may be missing (a new machine) or too old; then once more with new ones.
fetch || { apt-get -qq update >&2 && fetch; } ||
    die "cannot fetch $source_package and ksmbd-tools with apt-get download"
mkdir "$work/src" "$work/out"
dpkg-deb -x "$work"/ksmbd-tools_*.deb "$work/out/ksmbd"

# Without what this kernel never compiles, which is most of it; Kconfig reads the Kconfig files of all.
unused=()
for d in drivers/gpu drivers/media drivers/staging drivers/scsi drivers/net/ethernet drivers/net/wireless \
         drivers/infiniband/hw sound Documentation; do
    unused+=("--exclude=*/$d/*.[ch]" "--exclude=*/$d/*.rst" "--exclude=*/$d/*.yaml")
done
for a in alpha arc arm arm64 csky hexagon loongarch m68k microblaze mips nios2 openrisc parisc powerpc riscv \
         s390 sh sparc um xtensa; do
    unused+=("--exclude=*/arch/$a/*.[chS]" "--exclude=*/arch/$a/*.dts*")
done
dpkg-deb --fsys-tarfile "$work/$source_package"_*.deb |
    tar -xO "./usr/src/$source_package.tar.xz" |
    tar -xJ -C "$work/src" --strip-components=1 "${unused[@]}"
rm "$work"/*.deb

cd "$work/src"
make -s KCONFIG_ALLCONFIG="$here/kernel.config" allnoconfig
# What the configuration silently dropped, it would be a surprise to miss later.
lost=$(grep '=y$' "$here/kernel.config" | grep -vxFf .config || true)
[ -z "$lost" ] || die "the kernel cannot have:" $lost
echo "building a kernel for the tests of SMB Direct, once: some minutes" >&2
make -s -j"$(nproc)" bzImage >&2
cp arch/x86/boot/bzImage .config "$work/out/"
mv "$work/out" "$made"
echo "$made"

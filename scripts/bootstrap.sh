#!/bin/sh
# Makes sure that this machine has what frevo needs: `bootstrap.sh build`, `bootstrap.sh test`, `bootstrap.sh check`.
#
# What is missing is installed with apt where this user may (root, or sudo without a password); otherwise the exact
# command is named and the exit code is 1. Prints nothing when nothing is missing. Safe to run again and again.
set -eu

RUST_MINIMUM=1.88
PYTHON_MINIMUM=3.11
CARGO_BIN="${CARGO_HOME:-$HOME/.cargo}/bin"
PATH="$PATH:$CARGO_BIN"

say() { printf 'bootstrap: %s\n' "$*" >&2; }

fail() {
    say "$1"
    shift
    for line in "$@"; do printf '    %s\n' "$line" >&2; done
    exit 1
}

# "root" when we are root, "sudo -n" when sudo asks no password, "" when packages cannot be installed.
privilege() {
    command -v apt-get >/dev/null 2>&1 || return 0
    if [ "$(id -u)" = 0 ]; then
        echo env
    elif command -v sudo >/dev/null 2>&1 && sudo -n true >/dev/null 2>&1; then
        echo "sudo -n env"
    fi
}

# apt_install PACKAGE...: install what is missing of them, or name the command and fail.
apt_install() {
    as=$(privilege)
    if [ -z "$as" ]; then
        if command -v apt-get >/dev/null 2>&1; then
            fail "these packages are missing, and this user may not install them. Run:" \
                "sudo apt-get install --no-install-recommends $*"
        fi
        fail "this machine has no apt-get. Install with its package manager what Debian calls:" "$*"
    fi
    say "installing with apt: $*"
    if [ -z "$(find /var/lib/apt/lists -name '*_Packages*' -print 2>/dev/null | head -n 1)" ]; then
        apt_get update || true
    fi
    apt_get install -y --no-install-recommends "$@" && return 0
    apt_get update && apt_get install -y --no-install-recommends "$@" && return 0
    fail "apt could not install: $*" "see the messages above"
}

apt_get() {
    # shellcheck disable=SC2086  # the privilege is one or three words on purpose
    $as DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l apt-get -q -o DPkg::Lock::Timeout=300 "$@" >&2
}

# at_least FOUND WANTED: compare dotted versions.
at_least() {
    [ "$(printf '%s\n%s\n' "$2" "$1" | sort -t. -k1,1n -k2,2n | head -n 1)" = "$2" ]
}

python_version() {
    "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null || echo 0.0
}

# The command of a Python that is new enough; nothing when there is none.
find_python() {
    for candidate in ${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11; do
        if command -v "$candidate" >/dev/null 2>&1 && at_least "$(python_version "$candidate")" $PYTHON_MINIMUM; then
            echo "$candidate"
            return
        fi
    done
}

need_python() {
    python=$(find_python)
    if [ -z "$python" ]; then
        package=python3
        if command -v apt-cache >/dev/null 2>&1; then
            candidate=$(apt-cache policy python3 2>/dev/null | sed -n 's/ *Candidate: *//p' | cut -d. -f1,2)
            at_least "${candidate:-0.0}" $PYTHON_MINIMUM || package=python3.11
        fi
        apt_install "$package" "$package-venv"
        python=$(find_python)
        [ -n "$python" ] || fail "Python $PYTHON_MINIMUM or newer is needed; set PYTHON=/path/to/python3"
    fi
    "$python" -c 'import ensurepip, venv' 2>/dev/null || apt_install "python$(python_version "$python")-venv"
}

need_compiler() {
    command -v cc >/dev/null 2>&1 || apt_install gcc libc6-dev
    # A compiler without the C library's headers cannot build anything.
    printf '#include <stdlib.h>\nint main(void){return 0;}\n' | cc -x c -o /dev/null - >/dev/null 2>&1 ||
        apt_install gcc libc6-dev
}

cargo_version() {
    cargo --version 2>/dev/null | sed -n 's/^cargo \([0-9]*\.[0-9]*\).*/\1/p'
}

candidate_of() {
    apt-cache policy "$1" 2>/dev/null | sed -n 's/ *Candidate: *//p' | sed 's/^[0-9]*://' | cut -d. -f1,2
}

need_cargo() {
    found=$(cargo_version)
    at_least "${found:-0.0}" $RUST_MINIMUM && return 0
    say "cargo ${found:-is not installed}: $RUST_MINIMUM or newer is needed"
    as=$(privilege)
    if [ -n "$as" ]; then
        [ -n "$(candidate_of gcc)" ] || apt_get update || true
        if at_least "$(candidate_of cargo | grep -E '^[0-9]+\.[0-9]+$' || echo 0.0)" $RUST_MINIMUM; then
            apt_install cargo
        elif candidate_of rustup | grep -q '[0-9]'; then
            apt_install rustup
            rustup default stable >&2 || true
        fi
    fi
    found=$(cargo_version)
    at_least "${found:-0.0}" $RUST_MINIMUM && return 0
    fail "cannot get Rust $RUST_MINIMUM or newer with apt here. Run one of these, then try again:" \
        "sudo apt-get install rustup && rustup default stable             (Debian 13, Ubuntu 24.04 and newer)" \
        "curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh   (anywhere)"
}

# missing PROGRAM PACKAGE: the package when the program is not there.
missing() {
    PATH="$PATH:/usr/sbin:/sbin" command -v "$1" >/dev/null 2>&1 || echo "$2"
}

# The programs that the tests talk to.
need_peers() {
    packages=$(
        missing smbclient smbclient
        missing smbd samba
        missing smbtorture samba-testsuite
        ls /usr/lib/*/samba/vfs/streams_xattr.so /usr/lib/*/samba/vfs/io_uring.so >/dev/null 2>&1 ||
            echo samba-vfs-modules
        missing tcc tcc
        missing tshark tshark
        missing krb5kdc krb5-kdc
        missing kadmin.local krb5-admin-server
        missing kinit krb5-user
        missing krb5-config libkrb5-dev
        missing qemu-system-x86_64 qemu-system-x86
        [ -e /bin/busybox ] || echo busybox-static
        missing cpio cpio
        missing modinfo kmod
        missing fio fio
        missing ip iproute2
        missing nft nftables
        missing fusermount3 fuse3
        missing setfattr attr
        missing setfacl acl
        missing mount.cifs cifs-utils
        missing pkg-config pkg-config
        missing bc bc
        missing flex flex
        missing bison bison
        missing xz xz-utils
        [ -e /usr/include/gelf.h ] || echo libelf-dev
    )
    [ -z "$packages" ] && return 0
    as=$(privilege)
    if [ -n "$as" ]; then
        # tshark's only question (may ordinary users capture?) gets its default, no.
        echo 'wireshark-common wireshark-common/install-setuid boolean false' |
            $as DEBIAN_FRONTEND=noninteractive debconf-set-selections 2>/dev/null || true
    fi
    # shellcheck disable=SC2086  # one package per word
    apt_install $packages
}

# The kernel of the virtual machine in which SMB Direct is tested. Without it, those tests are skipped.
need_kernel() {
    "$(dirname "$0")/../tests/peers/linux-client/smbdirect/build.sh" >/dev/null ||
        say "no kernel for the tests of SMB Direct: see above"
    "$(dirname "$0")/../tests/peers/linux-client/smbdirect/verbs-libraries.sh" >/dev/null ||
        say "no libraries for the tests of RDMA devices: see above"
}

case "${1:-}" in
build)
    need_python
    need_compiler
    need_cargo
    ;;
test)
    need_peers
    need_kernel
    ;;
check)
    command -v rustfmt >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1 ||
        if command -v rustup >/dev/null 2>&1; then
            rustup component add rustfmt clippy >&2
        else
            apt_install rustfmt rust-clippy
        fi
    ;;
python)
    find_python
    ;;
*)
    echo "usage: bootstrap.sh build | test | check | python" >&2
    exit 2
    ;;
esac

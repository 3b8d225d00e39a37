# Sourced by the guest scripts: software RDMA devices, ksmbd, cifs.ko by SMB Direct.

# start_rdma siw|rxe NETDEV...: an RDMA device on each. lo serves no connections.
start_rdma() {
    local type=$1 d; shift
    for d in "$@"; do
        rdma link add "${type}_$d" type "$type" netdev "$d" || return
    done
}

# reach_host PORT: connections to the host's port 5445, the only one that cifs.ko
# knows beside 445, go to its PORT.
reach_host() {
    nft -f - <<END
table ip reach {
    chain output {
        type nat hook output priority -100;
        ip daddr 10.0.2.2 tcp dport 5445 dnat to 10.0.2.2:$1
    }
}
END
}

# rdma_mount DIR [OPTIONS [UNC]]: mounts by SMB Direct. On a busy host the kernel may give an address up before it is
# resolved, and then try port 445 in vain.
rdma_mount() {
    mkdir -p "$1"
    for _ in 1 2 3; do
        mount -t cifs -o "rdma,vers=3.1.1,username=user1,password=Passw0rd!${2:+,$2}" "${3:-//10.0.2.2/share}" "$1" &&
            return
    done
    return 32
}

# drop_caches: what is read next comes from the server.
drop_caches() { sync; echo 3 > /proc/sys/vm/drop_caches; }

# start_ksmbd: share "export" at /srv/export, on tmpfs, for user1. The share is a folder in the mount, as its root
# lists as empty.
start_ksmbd() {
    mkdir -p /etc/ksmbd /srv
    mount -t tmpfs -o size=700m tmpfs /srv
    mkdir -m 777 /srv/export
    cat > /etc/ksmbd/ksmbd.conf <<'END'
[global]
    netbios name = KSMBD
    workgroup = WORKGROUP
    server min protocol = SMB3_11
    server multi channel support = yes
    smb2 leases = yes
    map to guest = never
[export]
    path = /srv/export
    writeable = yes
    oplocks = yes
    create mask = 0666
    directory mask = 0777
END
    echo 'user1:x:1000:1000::/tmp:/bin/sh' >> /etc/passwd
    echo 'user1:x:1000:' >> /etc/group
    ksmbd.adduser -a user1 -p 'Passw0rd!' || return
    ksmbd.mountd -n > /tmp/mountd.log 2>&1 &
    # The kernel listens when the daemon has told it the configuration.
    for _ in $(seq 100); do
        ! grep -q ':01BD ' /proc/net/tcp /proc/net/tcp6 || return 0
        sleep 0.1
    done
    cat /tmp/mountd.log
    return 1
}

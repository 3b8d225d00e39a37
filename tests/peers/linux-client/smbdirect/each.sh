# Mounts a share of the host by SMB Direct over siw with one set of options after the other, and copies files each time
# which are as large as one message, as one transfer by RDMA, and as many: each.sh PORT OPTIONS...
. /job/rdma-lib.sh
start_rdma siw eth0 && reach_host "$1" || exit 1
shift
for options; do
    say "$options"
    if ! rdma_mount /tmp/m "$options"; then
        check "mount with $options" false
        dmesg | tail -n 10
        continue
    fi
    check "mkdir with $options" mkdir -p "/tmp/m/$options"
    for size in 1 1340 4095 4096 4097 65536 1048577 4194304; do
        head -c $size /dev/urandom > /tmp/file
        cp /tmp/file "/tmp/m/$options/$size"
        drop_caches
        check "$size bytes with $options" cmp /tmp/file "/tmp/m/$options/$size"
    done
    umount /tmp/m
done
verdict

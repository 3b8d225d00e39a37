# cifs.ko and ksmbd over siw, both in the guest: that the machine has what the tests need of it.
. /job/rdma-lib.sh
check "siw" start_rdma siw eth0
check "rxe" start_rdma rxe eth0
check "both are there" [ "$(ls /sys/class/infiniband | wc -l)" = 2 ]
rdma link delete rxe_eth0
check "ksmbd" start_ksmbd
rdma_mount /tmp/r "" //10.0.2.15/export || exit
head -c 4M /dev/urandom > /tmp/big
check "write" cp /tmp/big /tmp/r/big
drop_caches
check "read" cmp /tmp/big /tmp/r/big
check "what ksmbd has" cmp /tmp/big /srv/export/big
check "by SMB Direct" grep -q "SMBDirect" /proc/fs/cifs/DebugData
umount /tmp/r
verdict

# ksmbd over TCP and over SMB Direct by siw, for clients of the host, until there is a file `stop` in /host: serve.sh [SECONDS]
. /job/rdma-lib.sh
start_rdma siw eth0 && start_ksmbd || exit 1
touch /host/ready
for _ in $(seq $((${1:-60} * 5))); do
    [ ! -e /host/stop ] || break
    sleep 0.2
done
sums() { (cd /srv/export && find . -type f -exec sha256sum {} +); }
sums > /host/sums
dmesg | grep -iE 'ksmbd|BUG|Oops|stall' | tail -n 20

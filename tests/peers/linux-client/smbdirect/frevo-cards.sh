# frevo with cards of a kind, both ends, and with siw Linux' cifs.ko at the other end: frevo-cards.sh siw|rxe.
. /job/rdma-lib.sh
. /host/python.sh
start_rdma "$1" eth0 || exit 1
ulimit -l unlimited
mkdir -p -m 777 /srv/share
export HOME=/root FREVO_PASSWORD='Passw0rd!'
printf '%s\n' '[global]' 'private dir = /root/p' 'server smb transports = smbdirect' \
    'frevo:smbdirect provider = verbs' 'frevo:unix users = no' 'server signing = auto' \
    '[share]' 'path = /srv/share' 'read only = no' > /root/smb.conf
printf '%s\n' "$FREVO_PASSWORD" | frevo user add user1 --password-stdin -c /root/smb.conf
(guest_python && exec /host/python/bin/python3 -m frevo serve -c /root/smb.conf) > /root/serve.log 2>&1 &
server=$!
for _ in $(seq 300); do
    ! grep -q Listening /root/serve.log && kill -0 $server 2>/dev/null || break
    sleep 0.2
done
cat /root/serve.log

# The port of iWARP, or that of RoCE.
port=5445
[ "$1" = siw ] || port=445
cat > /root/client.py <<'END'
import asyncio, os, sys
from frevo import connect
from frevo.transport.smbdirect import SmbDirectSettings

async def main(port):
    url = f"smb+rdma://user1@10.0.2.15:{port}/share"
    async with connect(url, smb_direct=SmbDirectSettings(provider="verbs")) as share:
        for size in (0, 1, 9000, 70_000, 1 << 20, 9_000_001):
            data = os.urandom(size)
            await share.write_bytes(f"f{size}", data)
            with open(f"/srv/share/f{size}", "rb") as file:
                same = file.read() == data == await share.read_bytes(f"f{size}")
            print("PASS" if same else "FAIL", f"frevo copies {size}")

asyncio.run(main(int(sys.argv[1])))
END
check "frevo's client" python3 /root/client.py $port

if [ "$1" = siw ]; then
    if rdma_mount /tmp/m "" //10.0.2.15/share; then
        check "cifs.ko by SMB Direct" grep -q SMBDirect /proc/fs/cifs/DebugData
        head -c 9M /dev/urandom > /tmp/big
        check "cifs.ko writes" cp /tmp/big /tmp/m/big
        check "what frevo has" cmp /tmp/big /srv/share/big
        drop_caches
        check "cifs.ko reads" cmp /tmp/big /tmp/m/big
        check "unmount" umount /tmp/m
    else
        check "cifs.ko mounts" false
        dmesg | tail -n 20
    fi
fi
check "it goes on" kill -0 $server
kill $server
wait $server
check "it ends" [ $? = 0 ]
tail -n 5 /root/serve.log
verdict

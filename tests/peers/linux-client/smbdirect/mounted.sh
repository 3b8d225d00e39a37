# Mounts a share of the host by SMB Direct over siw, and runs scripts of /job on it: mounted.sh PORT OPTIONS SCRIPT...
. /job/rdma-lib.sh
export MNT=/mnt UNC=//10.0.2.2/share OPTS="rdma,vers=3.1.1,username=user1,password=Passw0rd!,$2"
start_rdma siw eth0 && reach_host "$1" || exit 1
smb_mount $MNT || { dmesg | tail -n 20; exit 32; }
grep " $MNT " /proc/mounts
shift 2
for script; do
    say "$script"
    bash "/job/$script" || failures=$((failures + 1))
done
verdict

# The suite for providers (crates/frevo-rdma/src/conformance) with cards of a kind: verbs.sh siw|rxe.
. /job/rdma-lib.sh
start_rdma "$1" eth0 || exit 1
ulimit -l unlimited
export FREVO_RDMA_ADDRESS=10.0.2.15
# siw of 6.12 lets peers read what they may write.
[ "$1" != siw ] || export FREVO_RDMA_LENIENT=1
check "providers' suite over $1" /job/suite --test-threads=1
verdict

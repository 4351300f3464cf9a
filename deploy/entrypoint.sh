# numba opens its cache for writing even to read it; with a read-only root the kernels move to the writable /tmp first.
set -eu
cp -r /opt/kernels /tmp/kernels
exec python3 -m app "$@"

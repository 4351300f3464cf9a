# numba opens its cache for writing even to read it; with a read-only root the kernels move to the writable /tmp first.
set -eu
mkdir -p "$NUMBA_CACHE_DIR"
cp -r /opt/kernels/. "$NUMBA_CACHE_DIR"
exec python3 -m app "$@"

#!/usr/bin/env bash
# Installs the Debian packages that building and testing Coterie needs. Only what is missing is
# installed; when nothing is, nothing is touched and no network is used.
set -euo pipefail

build=(
    clang-19 lld-19 libclang-rt-19-dev mold ccache cmake ninja-build git make
    librocksdb-dev libssl-dev libprotobuf-dev protobuf-compiler libnghttp2-dev
    libcli11-dev libtomlplusplus-dev libfmt-dev libsimdjson-dev libxxhash-dev libisal-dev libjemalloc-dev
    libgtest-dev libgmock-dev libbenchmark-dev librapidcheck-dev
)
# grpc++ is only the independent client of our own gRPC server's tests.
check=(
    libgrpc++-dev libgrpc-dev protobuf-compiler-grpc
    etcd-client etcd-server redis-tools redis-server nghttp2-client python3-redis python3-grpcio
    clang-format-19 clang-tidy-19 curl python3 procps iproute2
)

fail() {
    echo "install-packages: $*" >&2
    exit 1
}

missing=()
for package in "${build[@]}" "${check[@]}"; do
    state=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)
    [[ $state == installed ]] || missing+=("$package")
done
if ((${#missing[@]} == 0)); then
    exit 0
fi

command -v apt-get >/dev/null || fail "needs Debian 12 (apt-get); missing here: ${missing[*]}"
root=()
if ((EUID != 0)); then
    command -v sudo >/dev/null ||
        fail "run it as root, or install sudo; missing packages: ${missing[*]}"
    root=(sudo)
    if ! sudo -n true 2>/dev/null && [[ ! -t 0 ]]; then
        fail "sudo asks for a password and there is no terminal; as root run: apt-get install ${missing[*]}"
    fi
fi
as_root() { "${root[@]}" "$@"; }

# The etcd and redis packages start a service when they are installed. Coterie's own nodes use those
# ports, so services are forbidden to start for as long as the installation runs.
policy=/usr/sbin/policy-rc.d
own_policy=
if [[ ! -e $policy ]]; then
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod 755 "$policy"
    own_policy=yes
fi
cleanup() {
    if [[ -n $own_policy ]]; then as_root rm -f "$policy"; fi
}
trap cleanup EXIT

echo "install-packages: installing ${missing[*]}" >&2
options=(-y -q --no-install-recommends -o Dpkg::Use-Pty=0 -o Acquire::Retries=3)
as_root apt-get -q update >&2 || fail "apt-get update failed; see above"
as_root env DEBIAN_FRONTEND=noninteractive apt-get "${options[@]}" install "${missing[@]}" \
    </dev/null >&2 || fail "apt-get install failed; see above"

# Only services that this run brought in are kept from starting at the next boot; one that was here
# before belongs to somebody.
for package in etcd-server redis-server; do
    [[ " ${missing[*]} " == *" $package "* ]] || continue
    service=${package/etcd-server/etcd}
    if [[ -d /run/systemd/system ]]; then
        as_root systemctl disable --now "$service" >/dev/null 2>&1 || true
    elif command -v update-rc.d >/dev/null; then
        as_root update-rc.d "$service" disable >/dev/null 2>&1 || true
    fi
done

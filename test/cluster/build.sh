#!/bin/sh
# Makes what a cluster runs: Kubernetes and its sidecars from published Go modules, etcd, containerd and runc from Debian.
# Nothing is installed. Usage:
#   build.sh --stamp     prints a hash of everything that decides about the result
#   build.sh DIR         the programs of a cluster into DIR/bin
#   build.sh DIR e2e     Kubernetes' storage tests, and what they need, into DIR/bin
set -eu
here=$(cd "$(dirname "$0")" && pwd)
if [ "$1" = --stamp ]; then
  cd "$here"
  cat build.sh */go.mod */go.sum */*.go */*/*.go | sha256sum | cut -c 1-16
  exit
fi
mkdir -p "$1/bin"
dir=$(cd "$1" && pwd)

kubernetes=$(sed -n 's|^.*k8s.io/kubernetes \(v1[0-9.]*\).*|\1|p' "$here/kubernetes/go.mod" | head -n 1)
minor=${kubernetes#v1.}
link="-s -w"
for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
  link="$link -X $package.gitVersion=$kubernetes -X $package.gitMajor=1 -X $package.gitMinor=${minor%%.*}"
done

export CGO_ENABLED=0 GOFLAGS=-trimpath GOTOOLCHAIN=auto

# go_build MODULE PACKAGE [NAME]
go_build() {
  _name=${3:-${2##*/}}
  [ ! -x "$dir/bin/$_name" ] || return 0
  echo "cluster: compiling $_name" >&2
  (cd "$here/$1" && nice -n 19 go build -ldflags="$link" -o "$dir/bin/$_name.new" "$2")
  mv "$dir/bin/$_name.new" "$dir/bin/$_name"
}

# apt SUITE ARGUMENT...: apt-get with a state of its own, for one suite of Debian.
apt() {
  _state=$dir/apt/$1
  if [ ! -f "$_state/apt.conf" ]; then
    mkdir -p "$_state/lists/partial" "$_state/cache/archives/partial"
    : >"$_state/status"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian $1 main" >"$_state/sources.list"
    cat >"$_state/new.conf" <<EOF
Dir::State "$_state";
Dir::State::status "$_state/status";
Dir::Cache "$_state/cache";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
Dir::Etc::sourcelist "$_state/sources.list";
Dir::Etc::sourceparts "-";
APT::Sandbox::User "$(id -un)";
Acquire::Languages "none";
EOF
    APT_CONFIG=$_state/new.conf apt-get -qq update
    mv "$_state/new.conf" "$_state/apt.conf"
  fi
  shift
  APT_CONFIG=$_state/apt.conf apt-get -qq "$@"
}

# debian SUITE PACKAGE PROGRAM...: takes programs out of a package.
debian() {
  _suite=$1
  _package=$2
  shift 2
  [ ! -x "$dir/bin/${1##*/}" ] || return 0
  _unpacked=$dir/apt/$_package
  rm -rf "$_unpacked"
  mkdir -p "$_unpacked"
  (cd "$_unpacked" && apt "$_suite" download "$_package" && dpkg-deb -x ./*.deb .)
  for _program in "$@"; do cp "$_unpacked/$_program" "$dir/bin/"; done
  rm -rf "$_unpacked"
}

if [ "${2:-}" = e2e ]; then
  go_build kubernetes k8s.io/kubernetes/test/images/agnhost
  go_build kubernetes github.com/onsi/ginkgo/v2/ginkgo
  if [ ! -x "$dir/bin/e2e.test" ]; then
    echo "cluster: compiling e2e.test" >&2
    (cd "$here/kubernetes" && nice -n 19 go test -c -ldflags="$link" -o "$dir/bin/e2e.test.new" .)
    mv "$dir/bin/e2e.test.new" "$dir/bin/e2e.test"
  fi
  exit
fi

debian bookworm etcd-server usr/bin/etcd
debian bookworm runc usr/sbin/runc
debian bookworm busybox-static bin/busybox
# The first containerd that kubelet 1.36 takes is that of forky.
debian forky containerd usr/bin/containerd usr/bin/containerd-shim-runc-v2 usr/bin/ctr
for program in kube-apiserver kube-controller-manager kube-scheduler kubelet kubectl; do
  go_build kubernetes "k8s.io/kubernetes/cmd/$program"
done
go_build sidecars github.com/kubernetes-csi/external-provisioner/v6/cmd/csi-provisioner
go_build sidecars github.com/kubernetes-csi/external-attacher/v4/cmd/csi-attacher
go_build sidecars github.com/kubernetes-csi/external-resizer/v2/cmd/csi-resizer
for program in csi-snapshotter snapshot-controller; do
  go_build sidecars "github.com/kubernetes-csi/external-snapshotter/v8/cmd/$program"
done
go_build sidecars rds-csi/test/cluster/sidecars/livenessprobe
go_build sidecars rds-csi/test/cluster/sidecars/registrar csi-node-driver-registrar
# The definitions of snapshots, as published.
client=github.com/kubernetes-csi/external-snapshotter/client/v8
crds=$(cd "$here/sidecars" && go list -m -f '{{.Dir}}' $client)/config/crd
mkdir -p "$dir/crds"
for kind in volumesnapshotclasses volumesnapshotcontents volumesnapshots; do
  install -m 644 "$crds/snapshot.storage.k8s.io_$kind.yaml" "$dir/crds/"
done

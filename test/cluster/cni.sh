#!/bin/bash
# The network of pods, as a CNI plugin: a veth pair for each pod and a route to its one address. POD_NET, the first two numbers
# of the node's pod addresses, stands in /run/cluster/machine/pod-net. Source: CNI specification 1.0.0.
set -eu
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
# As the plugin loopback: containerd brings that interface up itself where it can, and asks for the plugin all the same.
if [ "$(basename "$0")" = loopback ]; then
  case $CNI_COMMAND in
    VERSION) echo '{"cniVersion":"1.0.0","supportedVersions":["0.4.0","1.0.0"]}' ;;
    ADD)
      ip -n "$(basename "$CNI_NETNS")" link set lo up
      echo '{"cniVersion":"1.0.0","interfaces":[],"ips":[]}'
      ;;
  esac
  exit
fi
link=v${CNI_CONTAINERID:0:10}
case $CNI_COMMAND in
  VERSION) echo '{"cniVersion":"1.0.0","supportedVersions":["0.4.0","1.0.0"]}' ;;
  ADD)
    exec 9>/run/cluster/cni.lock
    flock 9
    number=$(($(cat /run/cluster/cni.last 2>/dev/null || echo 1) + 1))
    echo $number >/run/cluster/cni.last
    exec 9>&-
    address=$(cat /run/cluster/machine/pod-net).$((number / 250)).$((number % 250 + 1))
    namespace=$(basename "$CNI_NETNS")
    ip link add "$link" type veth peer name "$CNI_IFNAME" netns "$namespace"
    ip link set "$link" up
    ip route add "$address/32" dev "$link"
    mac=$(ip -br link show dev "$link" | tr -s " " | cut -d " " -f 3)
    ip -n "$namespace" link set lo up
    ip -n "$namespace" addr add "$address/32" dev "$CNI_IFNAME"
    ip -n "$namespace" link set "$CNI_IFNAME" up
    ip -n "$namespace" route add 169.254.1.1 dev "$CNI_IFNAME" scope link
    ip -n "$namespace" neigh replace 169.254.1.1 lladdr "$mac" dev "$CNI_IFNAME" nud permanent
    ip -n "$namespace" route add default via 169.254.1.1 dev "$CNI_IFNAME"
    echo "{\"cniVersion\":\"1.0.0\",\"interfaces\":[{\"name\":\"$CNI_IFNAME\",\"sandbox\":\"$CNI_NETNS\"}],\"ips\":[{\"address\":\"$address/32\",\"interface\":0}]}"
    ;;
  DEL) ip link del "$link" 2>/dev/null || true ;;
esac

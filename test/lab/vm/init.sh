#!/bin/busybox sh
# PID 1 of the virtual machine that migrates. It says "ready" on its first serial port, waits for a line with a number on the second
# one, and then writes records to its disk from that number on, each acknowledged one on the first port.
/bin/busybox mount -t devtmpfs dev /dev
exec </dev/null >/dev/ttyS0 2>&1
while read -r module; do /bin/busybox insmod "/modules/$module"; done </modules/list
until [ -b /dev/vda ]; do /bin/busybox sleep 0.05; done
/bin/busybox stty -F /dev/ttyS1 -echo
echo ready
read -r first </dev/ttyS1
/bin/records write /dev/vda "$first" /dev/ttyS0 1
echo "the writer ended with $?"
/bin/busybox sleep 1000000

/*
 * tap PID NAME LOCAL-REMOTE: a network card NAME in the network namespace of process PID, the first of a PID namespace.
 *
 * Frames go to and come from the lab's switch: datagrams of the UDP socket of 127.0.0.1 that is bound to LOCAL and connected to REMOTE.
 * It writes a line when the card is there. When its standard input ends, the test has ended: it kills PID, and with it everything in
 * that PID namespace.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct sockaddr_in loopback(long port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((unsigned short)port) };
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return address;
}

static int failed(const char *what)
{
	perror(what);
	return 1;
}

int main(int argc, char **argv)
{
	long local, remote;
	char path[64];
	static char frame[65536];
	if (argc != 4 || sscanf(argv[3], "%ld-%ld", &local, &remote) != 2) {
		fprintf(stderr, "usage: tap PID NAME LOCAL-REMOTE\n");
		return 2;
	}
	int pid = atoi(argv[1]), size = 4 << 20;
	int process = (int)syscall(SYS_pidfd_open, pid, 0);
	struct sockaddr_in here = loopback(local), there = loopback(remote);
	int cable = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (process < 0 || cable < 0 || bind(cable, (struct sockaddr *)&here, sizeof here) ||
	    connect(cable, (struct sockaddr *)&there, sizeof there))
		return failed(argv[3]);
	/* Best effort: the system's limit may be lower. */
	setsockopt(cable, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
	setsockopt(cable, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);

	snprintf(path, sizeof path, "/proc/%d/ns/net", pid);
	int namespace = open(path, O_RDONLY | O_CLOEXEC);

	if (namespace < 0 || setns(namespace, CLONE_NEWNET))
		return failed(path);
	int card = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	struct ifreq request = { .ifr_flags = IFF_TAP | IFF_NO_PI };
	snprintf(request.ifr_name, sizeof request.ifr_name, "%s", argv[2]);
	if (card < 0 || ioctl(card, TUNSETIFF, &request))
		return failed("/dev/net/tun");
	puts("ready");
	fflush(stdout);

	struct pollfd all[] = { { 0, POLLIN, 0 }, { card, POLLIN, 0 }, { cable, POLLIN, 0 }, { process, POLLIN, 0 } };
	while (poll(all, 4, -1) >= 0 || errno == EINTR) {
		ssize_t length;
		while ((length = read(card, frame, sizeof frame)) > 0)
			send(cable, frame, (size_t)length, 0); /* A frame that is refused is lost, as on a cable. */
		while ((length = recv(cable, frame, sizeof frame, 0)) > 0)
			if (write(card, frame, (size_t)length) < 0 && errno != EAGAIN && errno != EIO)
				return failed("write");
		if (all[3].revents)
			return 0;
		if (all[0].revents && read(0, frame, sizeof frame) <= 0)
			return syscall(SYS_pidfd_send_signal, process, SIGKILL, NULL, 0) && errno != ESRCH ? failed("kill") : 0;
	}
	return failed("poll");
}

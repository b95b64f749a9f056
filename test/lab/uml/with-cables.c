/*
 * with-cables LOCAL-REMOTE[,LOCAL-REMOTE...] PROGRAM ARGS...: runs a program with UDP sockets of 127.0.0.1 as file descriptors 10, 11, ...
 *
 * Each argument LOCAL-REMOTE gives one socket, bound to LOCAL and connected to REMOTE. User Mode Linux takes such a
 * descriptor as a network card (`vec0:transport=fd`): a datagram is an Ethernet frame, and the other end is the test.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define FIRST_DESCRIPTOR 10

static struct sockaddr_in loopback(long port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((unsigned short)port) };
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return address;
}

static int cable(const char *ports, int descriptor)
{
	long local, remote;
	int size = 4 << 20;
	if (sscanf(ports, "%ld-%ld", &local, &remote) != 2)
		return -1;
	struct sockaddr_in here = loopback(local), there = loopback(remote);
	int s = socket(AF_INET, SOCK_DGRAM, 0);
	int bound = bind(s, (struct sockaddr *)&here, sizeof here);
	/* A machine that was switched off a moment ago may still be ending. */
	for (int tries = 0; bound && errno == EADDRINUSE && tries < 100; tries++) {
		usleep(50000);
		bound = bind(s, (struct sockaddr *)&here, sizeof here);
	}
	if (s < 0 || bound || connect(s, (struct sockaddr *)&there, sizeof there))
		return -1;
	/* Best effort: the system's limit may be lower. */
	setsockopt(s, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
	setsockopt(s, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
	if (fcntl(s, F_SETFL, O_NONBLOCK) || dup2(s, descriptor) < 0)
		return -1;
	close(s);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc < 3) {
		fprintf(stderr, "usage: with-cables LOCAL-REMOTE[,LOCAL-REMOTE...] PROGRAM ARGS...\n");
		return 2;
	}
	int descriptor = FIRST_DESCRIPTOR;
	for (char *ports = strtok(argv[1], ","); ports; ports = strtok(NULL, ","))
		if (cable(ports, descriptor++)) {
			perror(ports);
			return 1;
		}
	execv(argv[2], argv + 2);
	perror(argv[2]);
	return 127;
}

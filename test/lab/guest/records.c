/*
 * records write DEVICE FIRST PROGRESS TAG | records verify DEVICE LAST [TAG] | records newest DEVICE
 *
 * A virtual machine's disk as the lab needs it. Record n, a page of its own with a checksum, goes to slot n modulo SLOTS by direct
 * I/O that the device has to acknowledge (O_DIRECT, O_DSYNC), one after the other without pause; the last acknowledged number is
 * always in PROGRESS, a file; a terminal as PROGRESS gets a line for each number. It ends at SIGTERM, after the running write, or at an error. `verify` reads every slot: nothing that was
 * acknowledged up to LAST may be missing or damaged, and nothing later than LAST+1 (a write may have been under way) may be
 * there; with TAG, all of it must come from writers of that tag. `newest` prints the largest number on the device.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef SLOTS
#define SLOTS 512
#endif
#define WORDS 512

static uint64_t page[WORDS] __attribute__((aligned(4096)));
static volatile sig_atomic_t stopped;

static void stop(int signal)
{
	(void)signal;
	stopped = 1;
}

static uint64_t sum(void)
{
	uint64_t hash = 0xcbf29ce484222325u;
	for (int i = 0; i < WORDS - 1; i++)
		hash = (hash ^ page[i]) * 0x100000001b3u;
	return hash;
}

static void fill(uint64_t number, uint64_t tag)
{
	uint64_t word = number * 0x9e3779b97f4a7c15u + 1;
	page[0] = number;
	page[1] = tag;
	for (int i = 2; i < WORDS - 1; i++) {
		word ^= word << 13, word ^= word >> 7, word ^= word << 17;
		page[i] = word;
	}
	page[WORDS - 1] = sum();
}

static int write_all(const char *device, uint64_t number, const char *progress, uint64_t tag)
{
	int fd = open(device, O_RDWR | O_DIRECT | O_DSYNC | O_CLOEXEC);
	int out = open(progress, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || out < 0) {
		perror(fd < 0 ? device : progress);
		return 1;
	}
	struct sigaction action = { .sa_handler = stop };
	sigaction(SIGTERM, &action, NULL);
	int terminal = isatty(out);
	for (; !stopped; number++) {
		fill(number, tag);
		ssize_t done = pwrite(fd, page, sizeof page, (off_t)(number % SLOTS) * (off_t)sizeof page);
		if (done != (ssize_t)sizeof page) {
			fprintf(stderr, "record %llu: %s\n", (unsigned long long)number, done < 0 ? strerror(errno) : "short write");
			return 1;
		}
		char text[32];
		int length = snprintf(text, sizeof text, terminal ? "%llu\n" : "%20llu\n", (unsigned long long)number);
		if ((terminal ? write(out, text, (size_t)length) : pwrite(out, text, (size_t)length, 0)) != length)
			return 1;
	}
	return 0;
}

static int verify(const char *device, uint64_t last, uint64_t tag)
{
	int fd = open(device, O_RDONLY | O_DIRECT | O_CLOEXEC);
	int bad = 0, foreign = 0;
	if (fd < 0) {
		perror(device);
		return 1;
	}
	for (uint64_t slot = 0; slot < SLOTS; slot++) {
		/* The newest record that belongs here. */
		uint64_t wanted = last < slot ? 0 : last - (last - slot) % SLOTS;
		if (pread(fd, page, sizeof page, (off_t)slot * (off_t)sizeof page) != (ssize_t)sizeof page) {
			fprintf(stderr, "slot %llu: %s\n", (unsigned long long)slot, strerror(errno));
			return 1;
		}
		uint64_t found = page[0];
		int intact = found != 0 && found % SLOTS == slot && page[WORDS - 1] == sum();
		if (!(wanted == 0 && found == 0) && !(intact && (found == wanted || found == last + 1))) {
			if (bad++ < 5)
				fprintf(stderr, "slot %llu: record %llu instead of %llu%s\n", (unsigned long long)slot,
					(unsigned long long)found, (unsigned long long)wanted, intact ? "" : ", damaged");
		} else if (tag && found && page[1] != tag) {
			if (foreign++ < 5)
				fprintf(stderr, "slot %llu: written by %llu\n", (unsigned long long)slot, (unsigned long long)page[1]);
		}
	}
	printf("%d damaged or missing, %d of another writer, up to record %llu\n", bad, foreign, (unsigned long long)last);
	return bad || foreign;
}

static int newest(const char *device)
{
	int fd = open(device, O_RDONLY | O_DIRECT | O_CLOEXEC);
	uint64_t found = 0;
	for (int slot = 0; slot < SLOTS; slot++) {
		if (pread(fd, page, sizeof page, (off_t)slot * (off_t)sizeof page) != (ssize_t)sizeof page) {
			perror(device);
			return 1;
		}
		if (page[0] > found && page[WORDS - 1] == sum())
			found = page[0];
	}
	printf("%llu\n", (unsigned long long)found);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 6 && !strcmp(argv[1], "write"))
		return write_all(argv[2], strtoull(argv[3], NULL, 10), argv[4], strtoull(argv[5], NULL, 10));
	if (argc >= 4 && !strcmp(argv[1], "verify"))
		return verify(argv[2], strtoull(argv[3], NULL, 10), argc > 4 ? strtoull(argv[4], NULL, 10) : 0);
	if (argc == 3 && !strcmp(argv[1], "newest"))
		return newest(argv[2]);
	fprintf(stderr, "usage: records write DEVICE FIRST PROGRESS TAG | records verify DEVICE LAST [TAG] | records newest DEVICE\n");
	return 2;
}

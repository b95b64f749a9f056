/*
 * records write DEVICE FIRST PROGRESS TAG [END] | records verify DEVICE LAST [TAG] | records newest DEVICE
 *
 * A virtual machine's disk as the lab needs it. Record n, a page of its own with its slot and a checksum, goes to slot n modulo SLOTS by
 * direct I/O that the device has to acknowledge (O_DIRECT, O_DSYNC), one after the other without pause; the last acknowledged number is
 * always in PROGRESS, a file; a terminal as PROGRESS gets a line for each number. It ends at SIGTERM, after the running write, after
 * record END, or at an error. `verify` reads every slot: nothing that was acknowledged up to LAST may be missing or damaged, and nothing
 * later than LAST+1 (a write may have been under way) may be there; with TAG, all of it must come from writers of that tag. As long as
 * LAST is below SLOTS no slot was used twice, and each record has to be there. `newest` prints the largest number on the device.
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
/* Pages that are read at once. */
#define CHUNK 128

static uint64_t page[WORDS] __attribute__((aligned(4096)));
static uint64_t chunk[CHUNK][WORDS] __attribute__((aligned(4096)));
static volatile sig_atomic_t stopped;

static void stop(int signal)
{
	(void)signal;
	stopped = 1;
}

static uint64_t sum(const uint64_t *words)
{
	uint64_t hash = 0xcbf29ce484222325u;
	for (int i = 0; i < WORDS - 1; i++)
		hash = (hash ^ words[i]) * 0x100000001b3u;
	return hash;
}

static void fill(uint64_t number, uint64_t tag)
{
	uint64_t word = number * 0x9e3779b97f4a7c15u + 1;
	page[0] = number;
	page[1] = tag;
	page[2] = number % SLOTS;
	for (int i = 3; i < WORDS - 1; i++) {
		word ^= word << 13, word ^= word >> 7, word ^= word << 17;
		page[i] = word;
	}
	page[WORDS - 1] = sum(page);
}

static int write_all(const char *device, uint64_t number, const char *progress, uint64_t tag, uint64_t end)
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
	for (; !stopped && number <= end; number++) {
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

/* For reading; past the cache, where the file can be read so. */
static int open_to_read(const char *device)
{
	int fd = open(device, O_RDONLY | O_DIRECT | O_CLOEXEC);
	return fd < 0 && errno == EINVAL ? open(device, O_RDONLY | O_CLOEXEC) : fd;
}

/* The page of a slot, for slots in ascending order; NULL, after a message, if it cannot be read. */
static const uint64_t *slot_at(int fd, uint64_t slot)
{
	uint64_t count = SLOTS - slot < CHUNK ? SLOTS - slot : CHUNK;
	if (slot % CHUNK == 0) {
		ssize_t wanted = (ssize_t)(count * sizeof page);
		ssize_t done = pread(fd, chunk, (size_t)wanted, (off_t)slot * (off_t)sizeof page);
		if (done != wanted) {
			fprintf(stderr, "slot %llu: %s\n", (unsigned long long)slot, done < 0 ? strerror(errno) : "short read");
			return NULL;
		}
	}
	return chunk[slot % CHUNK];
}

/* Whether a page is a record of this slot, as it was written. */
static int is_intact(const uint64_t *words, uint64_t slot)
{
	return words[0] != 0 && words[0] % SLOTS == slot && words[2] == slot && words[WORDS - 1] == sum(words);
}

static int verify(const char *device, uint64_t last, uint64_t tag)
{
	int fd = open_to_read(device);
	int bad = 0, foreign = 0;
	if (fd < 0) {
		perror(device);
		return 1;
	}
	for (uint64_t slot = 0; slot < SLOTS; slot++) {
		/* The newest record that belongs here. */
		uint64_t wanted = last < slot ? 0 : last - (last - slot) % SLOTS;
		const uint64_t *words = slot_at(fd, slot);
		if (words == NULL)
			return 1;
		uint64_t found = words[0];
		int intact = is_intact(words, slot);
		if (!(wanted == 0 && found == 0) && !(intact && (found == wanted || found == last + 1))) {
			if (bad++ < 5)
				fprintf(stderr, "slot %llu: record %llu instead of %llu%s\n", (unsigned long long)slot,
					(unsigned long long)found, (unsigned long long)wanted, intact || found == 0 ? "" : ", damaged");
		} else if (tag && found && words[1] != tag) {
			if (foreign++ < 5)
				fprintf(stderr, "slot %llu: written by %llu\n", (unsigned long long)slot, (unsigned long long)words[1]);
		}
	}
	printf("%d damaged or missing, %d of another writer, up to record %llu\n", bad, foreign, (unsigned long long)last);
	return bad || foreign;
}

static int newest(const char *device)
{
	int fd = open_to_read(device);
	uint64_t found = 0;
	if (fd < 0) {
		perror(device);
		return 1;
	}
	for (uint64_t slot = 0; slot < SLOTS; slot++) {
		const uint64_t *words = slot_at(fd, slot);
		if (words == NULL)
			return 1;
		if (words[0] > found && is_intact(words, slot))
			found = words[0];
	}
	printf("%llu\n", (unsigned long long)found);
	return 0;
}

int main(int argc, char **argv)
{
	if ((argc == 6 || argc == 7) && !strcmp(argv[1], "write"))
		return write_all(argv[2], strtoull(argv[3], NULL, 10), argv[4], strtoull(argv[5], NULL, 10),
				 argc > 6 ? strtoull(argv[6], NULL, 10) : UINT64_MAX);
	if (argc >= 4 && !strcmp(argv[1], "verify"))
		return verify(argv[2], strtoull(argv[3], NULL, 10), argc > 4 ? strtoull(argv[4], NULL, 10) : 0);
	if (argc == 3 && !strcmp(argv[1], "newest"))
		return newest(argv[2]);
	fprintf(stderr, "usage: records write DEVICE FIRST PROGRESS TAG [END] | records verify DEVICE LAST [TAG] | records newest DEVICE\n");
	return 2;
}

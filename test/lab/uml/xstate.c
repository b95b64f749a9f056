/*
 * Lets User Mode Linux 6.1 run on processors whose register state is larger than it knows (AMX: 11 KB instead of 2.7 KB).
 *
 * The host's kernel takes a process's extended state (NT_X86_XSTATE) only whole and refuses what UML writes (EFAULT), so
 * init dies at once. Preloaded into linux.uml, this completes each such write with the state that the process has.
 * What UML does not know stays in its host process, one per address space; nothing in the lab uses AMX.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/uio.h>

static char whole[65536] __attribute__((aligned(64)));

long ptrace(enum __ptrace_request request, ...)
{
	static long (*next)(enum __ptrace_request, ...);
	va_list list;
	va_start(list, request);
	pid_t pid = va_arg(list, pid_t);
	void *address = va_arg(list, void *);
	void *data = va_arg(list, void *);
	va_end(list);
	if (!next)
		next = (long (*)(enum __ptrace_request, ...))dlsym(RTLD_NEXT, "ptrace");
	long result = next(request, pid, address, data);
	if (request != PTRACE_SETREGSET || result == 0 || errno != EFAULT || (long)address != NT_X86_XSTATE)
		return result;
	const struct iovec *part = data;
	struct iovec all = { whole, sizeof whole };
	if (next(PTRACE_GETREGSET, pid, address, &all) != 0 || part->iov_len > all.iov_len) {
		errno = EFAULT;
		return -1;
	}
	memcpy(whole, part->iov_base, part->iov_len);
	return next(request, pid, address, &all);
}

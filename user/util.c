// SPDX-License-Identifier: GPL-2.0-only
/*
 * Small helpers: one error message per failure, sizes and numbers, files, the device node.
 */
#include <ctype.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tool.h"

/* The one message of the failure under way: set where it is found, printed by the verb. */
static _Thread_local char failure[512];

/**
 * fail() - note what went wrong, for the verb to print
 * @fmt: the message: one line, no full stop, with the way out where there is one
 *
 * Return: -1, so that a function can `return fail(...)`.
 */
int fail(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(failure, sizeof(failure), fmt, args);
	va_end(args);
	return -1;
}

/**
 * fail_errno() - as fail(), followed by what errno means
 * @fmt: the message
 *
 * Return: -1.
 */
int fail_errno(const char *fmt, ...)
{
	int error = errno;
	va_list args;
	size_t used;

	va_start(args, fmt);
	vsnprintf(failure, sizeof(failure), fmt, args);
	va_end(args);
	used = strlen(failure);
	snprintf(failure + used, sizeof(failure) - used, ": %s", strerror(error));
	errno = error;
	return -1;
}

/** fail_text() - the message that fail() noted last in this thread */
const char *fail_text(void)
{
	return failure;
}

/**
 * complain() - print the noted message
 *
 * Return: LM_EXIT_FAILED, so that a verb can `return complain()`.
 */
int complain(void)
{
	fprintf(stderr, "lamina: %s\n", failure);
	return LM_EXIT_FAILED;
}

/**
 * note() - tell the user something while the guest goes on
 * @fmt: the message
 */
void note(const char *fmt, ...)
{
	char text[sizeof(failure)];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	/* The terminal may be in raw mode. */
	fprintf(stderr, "lamina: %s%s\n", text, isatty(STDERR_FILENO) ? "\r" : "");
}

/**
 * parse_size() - read a size such as 512M or 2G
 * @text: digits and an optional K, M, G or T (with or without "iB"); MiB without one
 * @size: the size in bytes
 *
 * Return: 0, or -1 with a message.
 */
int parse_size(const char *text, uint64_t *size)
{
	static const char units[] = "KMGT";
	unsigned int shift = 20;
	unsigned long long value;
	const char *unit;
	char *end;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (!isdigit((unsigned char)text[0]) || errno)
		return fail("'%s' is not a size: give for example 512M or 2G", text);
	if (*end) {
		unit = strchr(units, toupper((unsigned char)*end));
		if (!unit || (end[1] && strcasecmp(end + 1, "iB") && strcasecmp(end + 1, "B")))
			return fail("'%s' is not a size: give for example 512M or 2G", text);
		shift = 10 * (unsigned int)(unit - units + 1);
	}
	if (value > UINT64_MAX >> shift)
		return fail("the size '%s' is too large", text);
	*size = value << shift;
	return 0;
}

/**
 * parse_number() - read a decimal number within bounds
 * @text: the digits
 * @min: the smallest allowed
 * @max: the largest allowed
 * @number: the result
 *
 * Return: 0, or -1 with a message.
 */
int parse_number(const char *text, unsigned long min, unsigned long max, unsigned long *number)
{
	char *end;

	errno = 0;
	*number = strtoul(text, &end, 10);
	if (!isdigit((unsigned char)text[0]) || *end || errno || *number < min || *number > max)
		return fail("'%s' is not a number from %lu to %lu", text, min, max);
	return 0;
}

/**
 * read_at() - read exactly @len bytes of a file
 * @fd: the file
 * @buf: where to
 * @len: how many
 * @offset: from where in the file
 *
 * Return: 0, or -1 with errno set (EIO when the file ends early); no message.
 */
int read_at(int fd, void *buf, size_t len, uint64_t offset)
{
	char *at = buf;

	while (len) {
		ssize_t got = pread(fd, at, len, (off_t)offset);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -1;
		if (got == 0) {
			errno = EIO;
			return -1;
		}
		at += got;
		len -= (size_t)got;
		offset += (uint64_t)got;
	}
	return 0;
}

/**
 * read_line() - the first line of a small file, as in /sys and /proc
 * @buf: the line, without its newline
 * @len: size of @buf
 * @fmt: the path
 *
 * Return: 0, or -1 with errno set; no message.
 */
int read_line(char *buf, size_t len, const char *fmt, ...)
{
	char path[512];
	va_list args;
	ssize_t got;
	int fd;

	va_start(args, fmt);
	vsnprintf(path, sizeof(path), fmt, args);
	va_end(args);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	got = read(fd, buf, len - 1);
	close(fd);
	if (got < 0)
		return -1;
	buf[got] = '\0';
	buf[strcspn(buf, "\n")] = '\0';
	return 0;
}

/**
 * resolve() - look up the functions of a library that is opened when it is needed
 * @library: from dlopen()
 * @what: its name, for the message
 * @symbols: which ones, and where the pointers to them go
 * @nr: how many
 *
 * Return: 0, or -1 with a message.
 */
int resolve(void *library, const char *what, const struct symbol *symbols, unsigned int nr)
{
	unsigned int i;
	void *symbol;

	for (i = 0; i < nr; i++) {
		symbol = dlsym(library, symbols[i].name);
		if (!symbol)
			return fail("%s has no %s", what, symbols[i].name);
		memcpy(symbols[i].to, &symbol, sizeof(symbol));
	}
	return 0;
}

/* Something is wrong with this process. */
const int fault_signals[6] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGSYS };

/**
 * signals_to_loop() - leave signals to the loop, in a thread that is about to be made
 * @before: for pthread_sigmask(), afterwards
 *
 * Not the faults: their handler is to run.
 */
void signals_to_loop(sigset_t *before)
{
	sigset_t all;
	unsigned int i;

	sigfillset(&all);
	for (i = 0; i < ARRAY_SIZE(fault_signals); i++)
		sigdelset(&all, fault_signals[i]);
	pthread_sigmask(SIG_SETMASK, &all, before);
}

/* ---- descriptors that are kept, since nothing can be opened again once the tool has shut itself in ---- */

struct held {
	const char *path;	/* whose string outlives it */
	int flags, fd;
	bool busy;
};

static struct held held[64];
static unsigned int nr_held;
static bool holding, shut;

static struct held *hold(const char *path, int flags, int fd, bool busy)
{
	if (nr_held == ARRAY_SIZE(held))
		return NULL;
	held[nr_held] = (struct held){ .path = path, .flags = flags, .fd = fd, .busy = busy };
	return &held[nr_held++];
}

/** hold_begin() - keep what hold_open() opens from now on */
void hold_begin(void)
{
	holding = true;
}

/** hold_shut() - from now on there is only what was kept: to open anything else would end the process */
void hold_shut(void)
{
	shut = true;
}

/**
 * hold_add() - keep a descriptor for a hold_open() to come
 * @path: what it is of; the string is kept too
 * @flags: how it was opened
 * @fd: the descriptor; taken
 */
void hold_add(const char *path, int flags, int fd)
{
	if (!holding || !hold(path, flags, fd, false))
		close(fd);
}

/**
 * hold_open() - open a file, or have the descriptor back that hold_close() got
 * @path: the file; the string is kept
 * @flags: how; O_CLOEXEC goes without saying
 *
 * One thread at a time: the machine is being made, or io_lock is held.
 *
 * Return: the descriptor, or -1 with errno.
 */
int hold_open(const char *path, int flags)
{
	unsigned int i;
	int fd;

	for (i = 0; i < nr_held; i++) {
		if (!held[i].busy && held[i].flags == flags && !strcmp(held[i].path, path)) {
			held[i].busy = true;
			return held[i].fd;
		}
	}
	if (shut) {
		errno = EACCES;
		return -1;
	}
	fd = open(path, flags | O_CLOEXEC);
	if (fd >= 0 && holding)
		hold(path, flags, fd, true);
	return fd;
}

/** hold_drop() - close a descriptor of that file that nobody has just now */
void hold_drop(const char *path)
{
	unsigned int i;

	for (i = 0; i < nr_held; i++) {
		if (held[i].busy || strcmp(held[i].path, path))
			continue;
		close(held[i].fd);
		held[i] = held[--nr_held];
		return;
	}
}

/** hold_close() - close what hold_open() gave, or keep it for the next time */
void hold_close(int fd)
{
	unsigned int i;

	for (i = 0; i < nr_held; i++) {
		if (held[i].busy && held[i].fd == fd) {
			held[i].busy = false;
			return;
		}
	}
	close(fd);
}

/** default_device() - $LAMINA_DEVICE, else /dev/lamina */
const char *default_device(void)
{
	const char *path = getenv("LAMINA_DEVICE");

	return path && *path ? path : LM_DEVICE;
}

/**
 * open_device() - open the hypervisor's device
 * @path: its node
 *
 * Return: the file descriptor, for hold_close() or close(); or -1 with a message that names the way out.
 */
int open_device(const char *path)
{
	int fd = hold_open(path, O_RDWR);

	if (fd >= 0)
		return fd;
	switch (errno) {
	case ENOENT:
		return fail("%s is not there: load the module with 'sudo lamina load'", path);
	case ENXIO:
	case ENODEV:
		return fail("%s has no driver behind it: load the module with 'sudo lamina load'",
			    path);
	case EACCES:
	case EPERM:
		return fail("no permission to use %s: join its group with 'sudo usermod -aG kvm $USER' and log in again, or run as root",
			    path);
	case EBUSY:
		return fail("another hypervisor is using the CPU's virtualisation: 'sudo lamina load --replace-kvm' or 'lamina check' tells which");
	default:
		return fail_errno("cannot open %s", path);
	}
}

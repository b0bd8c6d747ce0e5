/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What every part of the tool shares: the verbs, their exit statuses and the small helpers.
 */
#ifndef LAMINA_TOOL_H
#define LAMINA_TOOL_H

#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LM_VERSION "0.1.0"
#define LM_DEVICE "/dev/lamina"
#define PAGEMAP "/proc/self/pagemap"
/* The option by which a verb is told of another one than default_device(), for its table. */
#define DEVICE_OPTION(key) \
	{ "device", key, "PATH", 0, "The hypervisor (default: $LAMINA_DEVICE, else " LM_DEVICE ")", 0 }

/* Exit statuses; lamina(1) documents them. */
enum {
	LM_EXIT_OK = 0,
	LM_EXIT_FAILED = 1,	/* the host or a file stood in the way; check: not fit */
	LM_EXIT_USAGE = 2,
	LM_EXIT_SHUTDOWN = 3,	/* the guest's CPU shut down (triple fault) */
	LM_EXIT_ENTRY = 4,	/* the CPU refused to enter the guest */
	LM_EXIT_INTERNAL = 5,	/* the hypervisor could not go on */
	LM_EXIT_CRASHED = 6,	/* the guest said that it crashed */
	LM_EXIT_SIGNAL = 128,	/* plus the number of the signal that ended the tool */
};

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* Verbs. Each takes its own argv (argv[0] is the verb) and returns the exit status. */
int cmd_run(int argc, char **argv);
int cmd_create(int argc, char **argv);
int cmd_start(int argc, char **argv);
int cmd_stop(int argc, char **argv);
int cmd_pause(int argc, char **argv);
int cmd_resume(int argc, char **argv);
int cmd_kill(int argc, char **argv);
int cmd_console(int argc, char **argv);
int cmd_list(int argc, char **argv);
int cmd_show(int argc, char **argv);
int cmd_attach(int argc, char **argv);
int cmd_detach(int argc, char **argv);
int cmd_balloon(int argc, char **argv);
int cmd_events(int argc, char **argv);
int cmd_check(int argc, char **argv);
int cmd_load(int argc, char **argv);
int cmd_unload(int argc, char **argv);

/* list.c */
int guest_owner(const char *name);

/* trim.c */
void trim(void);

/* util.c */
int fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
int fail_errno(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
const char *fail_text(void);
int complain(void);
void note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
int parse_size(const char *text, uint64_t *size);
int parse_number(const char *text, unsigned long min, unsigned long max, unsigned long *number);
int read_at(int fd, void *buf, size_t len, uint64_t offset);
int read_line(char *buf, size_t len, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int open_device(const char *path);
struct symbol {
	const char *name;
	void *to;
};
int resolve(void *library, const char *what, const struct symbol *symbols, unsigned int nr);
extern const int fault_signals[6];
void signals_to_loop(sigset_t *before);
void hold_begin(void);
void hold_shut(void);
void hold_add(const char *path, int flags, int fd);
int hold_open(const char *path, int flags);
void hold_close(int fd);
void hold_drop(const char *path);
const char *default_device(void);

static inline uint64_t align_down(uint64_t value, uint64_t to)
{
	return value & ~(to - 1);
}

static inline uint64_t align_up(uint64_t value, uint64_t to)
{
	return (value + to - 1) & ~(to - 1);
}

#endif

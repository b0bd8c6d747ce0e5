// SPDX-License-Identifier: GPL-2.0-only
/*
 * lmfuzz [--seed N] [--seconds N] [--rounds N] [--play LINEAGE] [--verbose]: calls of /dev/lamina in random order with
 * random arguments that make some sense, from several threads on several VMs. It looks for what the kernel complains
 * of, or never returns from; what the calls answer does not matter.
 *
 * A round is a process of its own and follows from its lineage alone: numbers with dots between, of which the first
 * makes a program and each other changes it. Where the kernel tells which code a program reached (kcov), programs that
 * reached something new are those that are changed. Threads race, so a lineage played again comes near, not the same.
 * Each lineage is written to the kernel's log before it runs: the last one before a complaint is the one to play.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/kcov.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "fuzz.h"

#define STEPS 48		/* of a thread */
#define DEEPEST 12		/* changes to a program */
#define KEPT 1024
#define COVER (64u << 10)	/* places of a call */
#define SEEN_BITS (1u << 18)

struct lineage {
	uint32_t n, seed[DEEPEST];
};

struct program {
	struct step step[THREADS][STEPS];
};

/* What the rounds, which are processes, tell. */
static struct shared {
	uint8_t seen[SEEN_BITS / 8];
	uint32_t fresh;		/* places that no round before had reached */
	uint32_t places;
	uint32_t calls;
} *shared;

static struct lineage kept[KEPT];
static unsigned int nr_kept;
static struct program program;
static bool verbose;
static int kernel_log = -1;
static long torn;		/* rounds that ended because a thread took memory from another */

/* splitmix64, as S. Vigna published it */
uint64_t next_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

/* ---- programs ---- */

static struct step random_step(uint64_t *state)
{
	uint64_t r = next_random(state);

	return (struct step){ .op = r, .vm = r >> 8, .obj = r >> 16, .seed = r >> 32 };
}

static void change(struct program *p, uint64_t *state)
{
	unsigned int times = 1 + next_random(state) % 8;

	while (times--) {
		struct step *of = p->step[next_random(state) % THREADS];
		unsigned int at = next_random(state) % STEPS, from = next_random(state) % STEPS;

		switch (next_random(state) % 4) {
		case 0:
			of[at] = random_step(state);
			break;
		case 1:
			of[at] = p->step[next_random(state) % THREADS][from];
			break;
		case 2:
			of[at].seed = next_random(state);
			break;
		default:
			of[at].vm = next_random(state);
			of[at].obj = next_random(state);
		}
	}
}

static void make_program(const struct lineage *l)
{
	uint64_t state = l->seed[0];
	unsigned int i, j;

	for (i = 0; i < THREADS; i++) {
		for (j = 0; j < STEPS; j++)
			program.step[i][j] = random_step(&state);
	}
	for (i = 1; i < l->n; i++) {
		state = l->seed[i];
		change(&program, &state);
	}
}

static void print_lineage(char *to, size_t room, const struct lineage *l)
{
	unsigned int i, len = 0;

	for (i = 0; i < l->n && len < room; i++)
		len += snprintf(to + len, room - len, "%s%u", i ? "." : "", l->seed[i]);
}

static void read_lineage(struct lineage *l, char *text)
{
	l->n = 0;
	while (l->n < DEEPEST) {
		l->seed[l->n++] = strtoul(text, &text, 0);
		if (*text++ != '.')
			break;
	}
}

static struct lineage next_lineage(uint64_t *state)
{
	struct lineage l = { 0 };

	if (nr_kept && next_random(state) % 4)
		l = kept[next_random(state) % nr_kept];
	if (l.n == DEEPEST)
		l.n = 0;
	l.seed[l.n++] = next_random(state);
	return l;
}

/* ---- where the kernel has been ---- */

static int cover_open(unsigned long **area)
{
	int fd = open("/sys/kernel/debug/kcov", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return -1;
	if (ioctl(fd, KCOV_INIT_TRACE, COVER))
		goto close;
	*area = mmap(NULL, COVER * sizeof(long), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (*area == MAP_FAILED || ioctl(fd, KCOV_ENABLE, KCOV_TRACE_PC))
		goto close;
	return fd;
close:
	close(fd);
	return -1;
}

static void cover_take(const unsigned long *area)
{
	unsigned long i, n = __atomic_load_n(&area[0], __ATOMIC_RELAXED);

	for (i = 1; i <= n && i < COVER; i++) {
		uint64_t hash = area[i];
		unsigned int bit;
		uint8_t was;

		bit = next_random(&hash) % SEEN_BITS;
		was = __atomic_fetch_or(&shared->seen[bit / 8], 1 << bit % 8, __ATOMIC_RELAXED);
		if (!(was >> bit % 8 & 1))
			__atomic_fetch_add(&shared->fresh, 1, __ATOMIC_RELAXED);
	}
}

/* ---- a round ---- */

static bool over;
static pthread_t thread[THREADS];

static void *run_steps(void *which)
{
	const struct step *s = program.step[(uintptr_t)which];
	unsigned long *area = NULL;
	int cover = cover_open(&area);
	unsigned int i;

	for (i = 0; i < STEPS; i++) {
		if (area)
			__atomic_store_n(&area[0], 0, __ATOMIC_RELAXED);
		step_run(&s[i]);
		__atomic_fetch_add(&shared->calls, 1, __ATOMIC_RELAXED);
		if (cover >= 0)
			cover_take(area);
		if (verbose)
			printf("# %lu %s\n", (unsigned long)(uintptr_t)which, step_name(&s[i]));
	}
	return NULL;
}

/* Whoever waits in the kernel is woken again and again, so that no step lasts. */
static void *kick(void *unused)
{
	struct timespec pause = { .tv_nsec = 4000000 };
	unsigned int i;

	(void)unused;
	while (!__atomic_load_n(&over, __ATOMIC_RELAXED)) {
		nanosleep(&pause, NULL);
		for (i = 0; i < THREADS; i++)
			pthread_kill(thread[i], SIGUSR1);
	}
	return NULL;
}

static void nothing(int sig)
{
	(void)sig;
}

static void play(const struct lineage *l)
{
	struct sigaction act = { .sa_handler = nothing };
	pthread_t kicker;
	uintptr_t i;

	sigaction(SIGUSR1, &act, NULL);
	make_program(l);
	world_make(l->seed[0]);
	for (i = 0; i < THREADS; i++) {
		if (pthread_create(&thread[i], NULL, run_steps, (void *)i))
			_exit(2);
	}
	if (pthread_create(&kicker, NULL, kick, NULL))
		_exit(2);
	for (i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	over = true;
	pthread_join(kicker, NULL);
	fflush(stdout);
	_exit(0);
}

/* Does the process end within that many tenths of a second? */
static bool ends(pid_t pid, int tenths, int *status)
{
	while (tenths--) {
		struct timespec pause = { .tv_nsec = 2000000 };
		int i;

		for (i = 0; i < 50; i++) {
			if (waitpid(pid, status, WNOHANG) == pid)
				return true;
			nanosleep(&pause, NULL);
		}
	}
	return false;
}

static int round_of(const struct lineage *l)
{
	char text[DEEPEST * 12], line[DEEPEST * 12 + 32];
	int status = 0, len;
	pid_t pid;

	print_lineage(text, sizeof(text), l);
	len = snprintf(line, sizeof(line), "<7>lmfuzz: --play %s\n", text);
	if (kernel_log >= 0 && write(kernel_log, line, len) != len)
		printf("# %s", line);
	shared->fresh = 0;
	pid = fork();
	if (!pid)
		play(l);
	if (pid < 0)
		return 0;
	if (!ends(pid, 600, &status)) {
		kill(pid, SIGKILL);
		printf("not ok fuzz - --play %s does not end%s\n", text, ends(pid, 600, &status) ? "" : ", nor by SIGKILL");
		return 1;
	}
	if (WIFSIGNALED(status)) {
		if (WTERMSIG(status) != SIGSEGV && WTERMSIG(status) != SIGBUS) {
			printf("not ok fuzz - --play %s: signal %d\n", text, WTERMSIG(status));
			return 1;
		}
		torn++;
	}
	if (WIFEXITED(status) && WEXITSTATUS(status)) {
		printf("not ok fuzz - --play %s: status %d\n", text, WEXITSTATUS(status));
		return 1;
	}
	shared->places += shared->fresh;
	if (shared->fresh && nr_kept < KEPT)
		kept[nr_kept++] = *l;
	return 0;
}

int main(int argc, char **argv)
{
	long seconds = 10, rounds = -1, done = 0;
	struct lineage one = { 0 };
	uint64_t state = 1;
	time_t until;
	int i, bad = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--seed") && i + 1 < argc)
			state = strtoull(argv[++i], NULL, 0);
		else if (!strcmp(argv[i], "--seconds") && i + 1 < argc)
			seconds = atol(argv[++i]);
		else if (!strcmp(argv[i], "--rounds") && i + 1 < argc)
			rounds = atol(argv[++i]);
		else if (!strcmp(argv[i], "--play") && i + 1 < argc)
			read_lineage(&one, argv[++i]);
		else if (!strcmp(argv[i], "--verbose"))
			verbose = true;
	}
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		return 1;
	kernel_log = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
	printf("# --seed %llu\n", (unsigned long long)state);
	until = time(NULL) + seconds;
	while (!bad && rounds-- && time(NULL) < until) {
		struct lineage l = one.n ? one : next_lineage(&state);

		bad = round_of(&l);
		done++;
	}
	printf("# %ld rounds, %ld of them torn, %u calls, %u places reached, %u programs kept\n",
	       done, torn, shared->calls, shared->places, nr_kept);
	if (bad)
		return 1;
	if (!done || torn > done / 2 || (!access("/sys/kernel/debug/kcov", F_OK) && !shared->places)) {
		puts("not ok fuzz - it got nowhere");
		return 1;
	}
	puts("ok fuzz");
	return 0;
}

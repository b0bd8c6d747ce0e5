// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a Linux guest does while its host is being maltreated: one thread on each
 * CPU writes and checks memory and watches the clock.
 *
 *	lmwork MEBIBYTES
 *
 * Every page holds numbers made from its index and from how often it was written,
 * which is kept elsewhere: a page that was lost, mixed up with another, or put back
 * to an older state does not match.  The clock must not run backwards, neither on
 * one CPU nor from one to another.
 *
 * A line on standard input asks for a report; "end" for a look at every page, a
 * last report, and the end:
 *
 *	work: 2 bad 0 back 0 rounds 1234 1250 end
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define PAGE		4096
#define WORDS		(PAGE / sizeof(uint64_t))
#define MAX_CPUS	64

static long cpus;
static size_t pages;			/* for each thread */
static uint64_t (*memory)[WORDS];
static uint32_t *written;		/* how often each page was; 0: never */
static atomic_ulong rounds[MAX_CPUS], bad, back;
static atomic_bool stop;
static _Atomic int64_t latest;		/* the newest time that anybody has seen */

static uint64_t mix(uint64_t x)
{
	x ^= x >> 31;
	x *= 0x9e3779b97f4a7c15ull;
	return x ^ x >> 29;
}

static uint64_t seed(size_t page)
{
	return mix((uint64_t)page << 32 | written[page]);
}

static void write_page(size_t page)
{
	uint64_t x;

	written[page]++;
	x = seed(page);
	for (size_t i = 0; i < WORDS; i++)
		memory[page][i] = x += 0x9e3779b97f4a7c15ull;
}

static void check_page(size_t page)
{
	uint64_t x = seed(page);

	for (size_t i = 0; i < WORDS; i++) {
		x += 0x9e3779b97f4a7c15ull;
		if (!written[page])
			x = 0;
		if (memory[page][i] == x)
			continue;
		if (!atomic_fetch_add(&bad, 1))
			printf("work: page %zu word %zu is %016llx, not %016llx\n", page, i,
			       (unsigned long long)memory[page][i], (unsigned long long)x);
		return;
	}
}

static void watch_clock(long cpu)
{
	int64_t before = atomic_load(&latest), now;
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	now = t.tv_sec * 1000000000ll + t.tv_nsec;
	if (now < before && !atomic_fetch_add(&back, 1))
		printf("work: on CPU %ld the clock went back by %lld ns\n", cpu,
		       (long long)(before - now));
	while (now > before && !atomic_compare_exchange_weak(&latest, &before, now))
		;
}

static void *work(void *arg)
{
	long cpu = (long)arg;
	size_t first = cpu * pages, page;
	uint64_t random = (uint64_t)cpu << 32;
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		atomic_fetch_add(&bad, 1);
	while (!atomic_load(&stop)) {
		page = first + mix(++random) % pages;
		check_page(page);
		write_page(page);
		for (int i = 0; i < 16; i++)
			watch_clock(cpu);
		atomic_fetch_add(&rounds[cpu], 1);
	}
	return NULL;
}

static void report(unsigned int number)
{
	printf("work: %u bad %lu back %lu rounds", number, bad, back);
	for (long cpu = 0; cpu < cpus; cpu++)
		printf(" %lu", rounds[cpu]);
	printf(" end\n");
}

static void *map(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p != MAP_FAILED)
		return p;
	perror("work: mmap");
	exit(2);
}

int main(int argc, char **argv)
{
	pthread_t threads[MAX_CPUS];
	unsigned int number = 0;
	char line[64];

	setvbuf(stdout, NULL, _IOLBF, 0);
	cpus = sysconf(_SC_NPROCESSORS_ONLN);
	if (argc != 2 || atoi(argv[1]) < 1 || cpus > MAX_CPUS) {
		fprintf(stderr, "usage: lmwork MEBIBYTES\n");
		return 2;
	}
	pages = (size_t)atoi(argv[1]) * (1 << 20) / PAGE / cpus;
	memory = map(pages * cpus * PAGE);
	written = map(pages * cpus * sizeof(*written));
	for (size_t page = 0; page < pages * cpus; page++)
		write_page(page);
	for (long cpu = 0; cpu < cpus; cpu++)
		if (pthread_create(&threads[cpu], NULL, work, (void *)cpu))
			return 2;
	printf("work: begun\n");
	while (fgets(line, sizeof(line), stdin) && strncmp(line, "end", 3))
		report(++number);
	atomic_store(&stop, true);
	for (long cpu = 0; cpu < cpus; cpu++)
		pthread_join(threads[cpu], NULL);
	for (size_t page = 0; page < pages * cpus; page++)
		check_page(page);
	report(++number);
	return bad || back;
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * What "perf record -e cpu-clock -a" does, as far as the tests need it.
 *
 *	lmperf PID SECONDS
 *
 * Samples all CPUs for so long, and prints a line for each: how many samples there
 * were, how many of them in a thread of PID, and what was lost:
 *
 *	perf: cpu 0 samples 99 owner 97 lost 0
 */
#define _GNU_SOURCE
#include <linux/perf_event.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define RING	(64 * 4096ul)
#define CPUS	8

struct sample {
	struct perf_event_header header;
	uint64_t ip;
	uint32_t pid, tid;
};

static int open_cpu(long cpu)
{
	struct perf_event_attr attr = {
		.size = sizeof(attr),
		.type = PERF_TYPE_SOFTWARE,
		.config = PERF_COUNT_SW_CPU_CLOCK,
		.sample_type = PERF_SAMPLE_IP | PERF_SAMPLE_TID,
		.sample_freq = 100,
		.freq = 1,
	};

	return syscall(SYS_perf_event_open, &attr, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC);
}

/* The ring is larger than what one run can fill, so nothing wraps around. */
static void count(long cpu, struct perf_event_mmap_page *page, uint32_t owner)
{
	unsigned long samples = 0, owners = 0, lost = 0;
	char *data = (char *)page + 4096;
	const struct sample *s;

	for (uint64_t at = 0; at < page->data_head; at += s->header.size) {
		s = (void *)(data + at);
		if (s->header.type == PERF_RECORD_LOST)
			lost++;
		if (s->header.type != PERF_RECORD_SAMPLE)
			continue;
		samples++;
		owners += s->pid == owner;
	}
	printf("perf: cpu %ld samples %lu owner %lu lost %lu\n", cpu, samples, owners, lost);
}

int main(int argc, char **argv)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	void *ring[CPUS];

	if (argc != 3 || cpus > CPUS) {
		fprintf(stderr, "usage: lmperf PID SECONDS\n");
		return 2;
	}
	for (long cpu = 0; cpu < cpus; cpu++) {
		int fd = open_cpu(cpu);

		ring[cpu] = mmap(NULL, RING + 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (fd < 0 || ring[cpu] == MAP_FAILED) {
			perror("lmperf");
			return 1;
		}
	}
	sleep(atoi(argv[2]));
	for (long cpu = 0; cpu < cpus; cpu++)
		count(cpu, ring[cpu], atoi(argv[1]));
	return 0;
}

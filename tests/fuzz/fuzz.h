/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef FUZZ_H
#define FUZZ_H

#include <stdint.h>

#define VMS 2
#define VCPUS 3			/* of a VM */
#define THREADS 3
#define EVENTS 3
#define RAM_BYTES (4u << 20)
#define LENGTH(a) (sizeof(a) / sizeof((a)[0]))

/**
 * struct step - one call, whole: what it does follows from these numbers alone
 * @op: which; taken modulo their number
 * @vm: of which VM
 * @obj: which vCPU or other object of it
 * @seed: of the numbers in its argument
 */
struct step {
	uint8_t op, vm, obj, unused;
	uint32_t seed;
};

/**
 * struct target - a VM and what belongs to it; threads race for all of it on purpose
 * @vm: descriptor, or -1 as all of them
 * @vcpu: likewise
 * @run: their mappings, or NULL
 * @device: a disk
 * @stats: statistics
 * @owner: LAMINA_OWN
 * @handle: LAMINA_OPEN
 */
struct target {
	int vm, vcpu[VCPUS], device, stats, owner, handle;
	uint8_t *run[VCPUS];
};

struct world {
	int sys, event[EVENTS], image, netlink, family;
	long run_size;
	uint8_t *ram;
	struct target t[VMS];
};

extern struct world world;

uint64_t next_random(uint64_t *state);
void world_make(uint64_t seed);
void step_run(const struct step *s);
const char *step_name(const struct step *s);

#endif

/* SPDX-License-Identifier: GPL-2.0-only */
/* The client's view of one VM that runs one case of a tiny guest. */
#ifndef LM_TEST_VM_H
#define LM_TEST_VM_H
#include <linux/kvm.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdbool.h>
#include "abi.h"

#define MAX_VCPUS	4
#define POOL_SIZE	(16u << 20)
#define LOG_MAX		4096

struct vcpu {
	struct vm *vm;
	int id, fd, stats;
	struct kvm_run *run;
	pthread_t thread;
	bool started, left;	/* left: the thread returned from its loop */
	int last_errno;
	int inject_on_hlt, inject_window;	/* vector, or -1 */
	unsigned int hlts;
	bool want_debug;
};

struct log_entry {
	uint64_t addr, data;
	uint32_t len, write, port;
};

struct vm {
	int sys, fd;
	int run_size;
	unsigned int ncpus, flags;
	struct vcpu vcpu[MAX_VCPUS];
	uint8_t *ram, *pool;
	volatile bool stop;
	sem_t done;
	pthread_mutex_t lock;
	int verdict;		/* -1 while running */
	struct log_entry log[LOG_MAX];
	unsigned int log_n;
	uint8_t mmio[MMIO_SIZE + 16], pio[PORT_DEV_SIZE + 16];
};

/* What the parent reads after the child has gone. */
struct report {
	char text[4000];
	unsigned int len;
};
extern struct report *report;
void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* vm.c */
int vm_create(struct vm *vm, const char *dev, unsigned int ncpus, unsigned int flags, bool no_xsave);
void vm_end(struct vm *vm, int verdict);
int vcpu_start_state(struct vcpu *v, int bits, uint64_t entry);
void *vcpu_thread(void *arg);
void vm_kick(struct vm *vm);

/* host.c */
int64_t hostcall_do(struct vcpu *v, struct hostcall *c);
#endif

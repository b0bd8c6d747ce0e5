/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef LM_BENCH_H
#define LM_BENCH_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vm {
	int sys, fd, vcpu;
	struct kvm_run *run;
	uint8_t *ram;
	size_t ram_size;
};
extern const char *device;
void die(const char *what);
int xioctl(int fd, unsigned long nr, void *arg, const char *what);
void *map_memory(size_t n);
void add_slot(struct vm *vm, int slot, uint64_t gpa, size_t size, void *p, int flags);
void vm_open(struct vm *vm, bool irqchip, size_t ram);
void set_mode(struct vm *vm, int bits);
void vm_close(struct vm *vm);
int write_initrd(const char *file);
int bench_exec(const char *name, char **argv);
int bench_linux(const char *file, const char *append);
#endif

/* SPDX-License-Identifier: GPL-2.0-only */
/* Raw checks of the KVM API: each case runs in a child process of its own. */
#ifndef LM_API_H
#define LM_API_H
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

struct test {
	const char *name;
	void (*fn)(void);
};
extern const struct test system_tests[], vm_tests[], vcpu_tests[], irq_tests[], chip_tests[], life_tests[], more_tests[], debug_tests[], dirty_tests[], coalesced_tests[],
	name_tests[], blk_tests[];

extern const char *device;
extern bool no_xsave;
#define MAX_DISKS 8
extern const char *disks[];	/* "direct:" in front: O_DIRECT; NULL ends it */
extern long fuzz_rounds;
struct env {
	int sys, vm, vcpu;
	struct kvm_run *run;
	int run_size;
	uint8_t *ram;		/* 1 MiB at 0 */
};
extern struct env e;

void check_(bool good, const char *file, int line, const char *what, long got, long want);
/* the call answers this, or fails with that errno */
#define IS(call, want) do { long g_ = (call); check_(g_ == (long)(want), __FILE__, __LINE__, #call, g_, (want)); } while (0)
#define OK(call) do { errno = 0; long g_ = (call); check_(g_ >= 0, __FILE__, __LINE__, #call, g_ < 0 ? -errno : g_, 0); } while (0)
#define ERR(call, err) do { errno = 0; long g_ = (call); check_(g_ == -1 && errno == (err), __FILE__, __LINE__, #call, g_ < 0 ? -errno : g_, -(err)); } while (0)
#define ERR2(call, err1, err2) do { errno = 0; long g_ = (call); check_(g_ == -1 && (errno == (err1) || errno == (err2)), __FILE__, __LINE__, #call, g_ < 0 ? -errno : g_, -(err1)); } while (0)
#define TRUE(cond) check_(!!(cond), __FILE__, __LINE__, #cond, 0, 1)

/* 1: pause; jmp 1b: Bochs does not leave a loop without an exit (docs/vmx-features.md) */
#define SPIN "\xf3\x90\xeb\xfc"

#define BAD_PTR ((void *)8)
int cap(int c);
void make_vm(void);			/* device and VM */
void make_ram(void);			/* 1 MiB at 0 */
void make_chips(void);			/* irqchip and PIT */
void make_vcpu(void);			/* vCPU 0 and its run page */
void set_cpuid(int vcpu);
void real_mode(int vcpu, uint64_t rip);
void code(uint32_t at, const char *bytes, size_t n);
int slot(int nr, uint32_t flags, uint64_t gpa, uint64_t size, void *p);
void skip(const char *why) __attribute__((noreturn));
#endif

// SPDX-License-Identifier: GPL-2.0-only
/*
 * Boots an ELF vmlinux through its PVH entry with an initrd that holds one
 * small /init, and measures from the first KVM_RUN to the port write that
 * /init makes. No firmware, no ACPI tables, no devices but the in-kernel ones.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <x86intrin.h>
#include "bench.h"

#define RAM		(512u << 20)
#define START_INFO	0x6000
#define MEMMAP		0x6100
#define MODLIST		0x6200
#define CMDLINE		0x7000
#define INITRD		(RAM - (1u << 20))

extern const uint8_t linux_init[], linux_init_end[];

struct start_info {
	uint32_t magic, version, flags, nr_modules;
	uint64_t modlist, cmdline, rsdp, memmap;
	uint32_t memmap_entries, reserved;
};
struct module { uint64_t paddr, size, cmdline, reserved; };
struct memmap { uint64_t addr, size; uint32_t type, reserved; };

/* One entry of a "newc" archive. */
static size_t cpio(uint8_t *p, const char *name, unsigned int mode, unsigned int rdev,
		   const void *data, size_t n)
{
	static unsigned int ino;
	size_t len = strlen(name) + 1, at;

	at = sprintf((char *)p, "070701%08X%08X%08X%08X%08X%08X%08zX%08X%08X%08X%08X%08zX%08X",
		     ++ino, mode, 0, 0, 1, 0, n, 0, 0, rdev >> 8, rdev & 0xff, len, 0);
	memcpy(p + at, name, len);
	at = (at + len + 3) & ~3ul;
	if (n)
		memcpy(p + at, data, n);
	return (at + n + 3) & ~3ul;
}

static size_t initrd(uint8_t *p)
{
	size_t n = cpio(p, "dev", 040755, 0, NULL, 0);

	n += cpio(p + n, "dev/console", 020600, 5 << 8 | 1, NULL, 0);
	n += cpio(p + n, "init", 0100755, 0, linux_init, linux_init_end - linux_init);
	return n + cpio(p + n, "TRAILER!!!", 0, 0, NULL, 0);
}

/* The same initrd for other clients. */
int write_initrd(const char *file)
{
	uint8_t *p = calloc(1, 1 << 20);
	int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	ssize_t n = initrd(p);

	if (fd < 0 || write(fd, p, n) != n || close(fd))
		die(file);
	free(p);
	return 0;
}

static uint32_t pvh_entry(const uint8_t *f, const Elf64_Phdr *ph)
{
	size_t at = 0;

	while (at + sizeof(Elf64_Nhdr) < ph->p_filesz) {
		const Elf64_Nhdr *n = (const void *)(f + ph->p_offset + at);
		const char *name = (const char *)(n + 1);
		const uint8_t *desc = (const uint8_t *)name + ((n->n_namesz + 3) & ~3u);

		if (n->n_type == 18 && n->n_namesz == 4 && !memcmp(name, "Xen", 4))
			return *(const uint32_t *)desc;
		at += sizeof(*n) + ((n->n_namesz + 3) & ~3u) + ((n->n_descsz + 3) & ~3u);
	}
	return 0;
}

static uint32_t load(struct vm *vm, const char *file)
{
	int fd = open(file, O_RDONLY), i;
	uint32_t entry = 0;
	const uint8_t *f;
	const Elf64_Ehdr *e;
	struct stat st;

	if (fd < 0 || fstat(fd, &st))
		die(file);
	f = mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	e = (const void *)f;
	if (f == MAP_FAILED || memcmp(e->e_ident, ELFMAG, 4))
		die("not an ELF file");
	for (i = 0; i < e->e_phnum; i++) {
		const Elf64_Phdr *ph = (const void *)(f + e->e_phoff + i * e->e_phentsize);

		if (ph->p_type == PT_NOTE && !entry)
			entry = pvh_entry(f, ph);
		if (ph->p_type != PT_LOAD)
			continue;
		if (ph->p_paddr + ph->p_memsz > INITRD || ph->p_filesz > ph->p_memsz)
			die("kernel too big");
		memcpy(vm->ram + ph->p_paddr, f + ph->p_offset, ph->p_filesz);
	}
	munmap((void *)f, st.st_size);
	if (!entry)
		die("no PVH entry");
	return entry;
}

/*
 * What the guest itself has run so far: guest_tsc of lamina's statistics, if
 * the module was loaded with count_guest. 0 elsewhere.
 */
static unsigned long long guest_cycles(void)
{
	unsigned long long sum = 0, v;
	char pattern[64], line[128];
	size_t i;
	glob_t g;

	snprintf(pattern, sizeof(pattern), "/sys/kernel/debug/lamina/%d-*/vcpu*", getpid());
	if (glob(pattern, 0, NULL, &g))
		return 0;
	for (i = 0; i < g.gl_pathc; i++) {
		FILE *f = fopen(g.gl_pathv[i], "r");

		while (f && fgets(line, sizeof(line), f))
			if (sscanf(line, "guest_tsc %llu", &v) == 1)
				sum += v;
		if (f)
			fclose(f);
	}
	globfree(&g);
	return sum;
}

/* A clock that stands still; everything else reads as absent. */
static void port_read(uint16_t port, uint8_t *p, size_t n, uint8_t index)
{
	static const uint8_t cmos[16] = { 1, 0, 1, 0, 1, 0, 1, 1, 1, 0x24, 0x26, 0x02, 0, 0x80 };

	memset(p, 0xff, n);
	if (port == 0x71)
		*p = index < 16 ? cmos[index] : 0;
}

int bench_linux(const char *file, const char *append)
{
	struct kvm_regs regs = { .rflags = 2, .rbx = START_INFO };
	unsigned long long exits = 0, ports = 0, g0, g1;
	struct start_info *si;
	struct memmap *mm;
	struct module *mod;
	struct kvm_sregs s;
	uint8_t cmos = 0;
	struct vm vm;
	uint64_t t0, t1;
	size_t n;

	vm_open(&vm, true, RAM);
	regs.rip = load(&vm, file);
	n = initrd(vm.ram + INITRD);
	si = (void *)(vm.ram + START_INFO);
	mm = (void *)(vm.ram + MEMMAP);
	mod = (void *)(vm.ram + MODLIST);
	*si = (struct start_info) {
		.magic = 0x336ec578, .version = 1, .nr_modules = 1, .modlist = MODLIST,
		.cmdline = CMDLINE, .memmap = MEMMAP, .memmap_entries = 2,
	};
	mm[0] = (struct memmap) { 0, 0x9fc00, 1, 0 };
	mm[1] = (struct memmap) { 0x100000, RAM - 0x100000, 1, 0 };
	*mod = (struct module) { INITRD, n, 0, 0 };
	snprintf((char *)vm.ram + CMDLINE, 2048, "quiet panic=-1 pci=off %s", append);
	set_mode(&vm, 32);
	xioctl(vm.vcpu, KVM_GET_SREGS, &s, "GET_SREGS");
	s.tr = (struct kvm_segment) { .limit = 0x67, .type = 11, .present = 1 };
	xioctl(vm.vcpu, KVM_SET_SREGS, &s, "SET_SREGS");
	xioctl(vm.vcpu, KVM_SET_REGS, &regs, "SET_REGS");

	g0 = guest_cycles();
	t0 = __rdtsc();
	for (;;) {
		int r = ioctl(vm.vcpu, KVM_RUN, 0);

		if (r && (errno == EINTR || errno == EAGAIN))
			continue;
		if (r)
			die("KVM_RUN");
		exits++;
		if (vm.run->exit_reason == KVM_EXIT_IO) {
			uint8_t *p = (uint8_t *)vm.run + vm.run->io.data_offset;

			ports++;
			if (vm.run->io.direction == KVM_EXIT_IO_IN)
				port_read(vm.run->io.port, p, vm.run->io.size * vm.run->io.count, cmos);
			else if (vm.run->io.port == 0x70)
				cmos = *p & 0x7f;
			else if (vm.run->io.port == 0xf4 && *p == 0x42)
				break;
		} else if (vm.run->exit_reason == KVM_EXIT_MMIO) {
			if (!vm.run->mmio.is_write)
				memset(vm.run->mmio.data, 0xff, 8);
		} else {
			fprintf(stderr, "lmbench: exit reason %u\n", vm.run->exit_reason);
			return 1;
		}
	}
	t1 = __rdtsc();
	g1 = guest_cycles();
	printf("linux-boot pvh %llu\n", (unsigned long long)(t1 - t0));
	printf("linux-user-exits pvh %llu\n", exits);
	printf("linux-user-ports pvh %llu\n", ports);
	if (g1 > g0)
		printf("linux-guest pvh %llu\n", g1 - g0);
	vm_close(&vm);
	return 0;
}

/*
 * From the exec of a client to the word that /init writes to the console.
 * The client is killed then.
 */
int bench_exec(const char *name, char **argv)
{
	static const char word[] = "LM-INIT";
	char buf[65536];
	size_t have = 0;
	uint64_t t0, t1;
	int fd[2];
	ssize_t n;
	pid_t pid;

	if (pipe(fd))
		die("pipe");
	t0 = __rdtsc();
	pid = fork();
	if (pid < 0)
		die("fork");
	if (!pid) {
		dup2(fd[1], 1);
		close(fd[0]);
		execv(argv[0], argv);
		die(argv[0]);
	}
	close(fd[1]);
	while ((n = read(fd[0], buf + have, sizeof(buf) - 1 - have)) > 0) {
		have += n;
		buf[have] = 0;
		if (memmem(buf, have, word, sizeof(word) - 1))
			break;
		if (have > sizeof(buf) / 2)
			have = 0;
	}
	t1 = __rdtsc();
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	if (n <= 0) {
		fprintf(stderr, "lmbench: %s ended before /init: %.*s\n", argv[0], (int)have, buf);
		return 1;
	}
	printf("%s exec %llu\n", name, (unsigned long long)(t1 - t0));
	return 0;
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * The readers of kernel images: right ones load, cut and damaged ones are refused and never read or
 * write outside what is theirs (built with the address sanitizer). Without arguments: the tests; with
 * "acpi CPUS FILE": writes the ACPI tables as the guest sees them from AT_ACPI on.
 */
#include <asm/bootparam.h>
#include <elf.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../user/boot/boot.h"
#include "../../user/tool.h"
#include "test.h"

#define MIB 0x100000ull
#define ROUNDS 20000

static struct guest_memory mem;
static uint32_t seed = 1;

static uint32_t chance(void)
{
	seed = seed * 1664525 + 1013904223;
	return seed >> 8;
}

static int file_of(const void *bytes, size_t len, struct image *image)
{
	static char path[32];

	image->fd = memfd_create("image", 0);
	if (image->fd < 0 || write(image->fd, bytes, len) != (ssize_t)len)
		return -1;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", image->fd);
	image->path = path;
	image->size = len;
	return 0;
}

static void make_bzimage(uint8_t *head)
{
	struct setup_header hdr = {
		.setup_sects = 1,
		.syssize = 0x1000 / 16,
		.boot_flag = 0xaa55,
		.jump = 0x66eb,
		.header = 0x53726448,
		.version = 0x020f,
		.loadflags = LOADED_HIGH,
		.kernel_alignment = 0x200000,
		.pref_address = 0x1000000,
		.init_size = 0x100000,
		.initrd_addr_max = 0x7fffffff,
		.cmdline_size = 2047,
		.xloadflags = XLF_KERNEL_64,
	};

	memset(head, 0, BZIMAGE_HEAD);
	memcpy(head + 0x1f1, &hdr, sizeof(hdr));
}

static int parse(void (*change)(struct setup_header *), uint64_t size, struct bzimage *bz)
{
	uint8_t head[BZIMAGE_HEAD];

	make_bzimage(head);
	if (change)
		change((struct setup_header *)(head + 0x1f1));
	return bzimage_parse(head, sizeof(head), size, bz);
}

static void too_old(struct setup_header *hdr)
{
	hdr->version = 0x0200;
}

static void zimage(struct setup_header *hdr)
{
	hdr->loadflags = 0;
}

static void odd_alignment(struct setup_header *hdr)
{
	hdr->kernel_alignment = 3;
}

static void no_alignment(struct setup_header *hdr)
{
	hdr->kernel_alignment = 0;
}

static void low_address(struct setup_header *hdr)
{
	hdr->pref_address = 0x1000;
}

static void huge_address(struct setup_header *hdr)
{
	hdr->pref_address = 1ull << 62;
}

static void no_payload(struct setup_header *hdr)
{
	hdr->syssize = 0;
}

static void only_32_bit(struct setup_header *hdr)
{
	hdr->xloadflags = 0;
}

static void test_bzimage_header(void)
{
	const uint64_t size = 1024 + 0x1000;
	struct bzimage bz;

	CHECK("bzImage: good", !parse(NULL, size, &bz));
	CHECK("bzImage: what its header says",
	      bz.entry64 && bz.load_at == 0x1000000 && bz.needed == 0x100000 &&
	      bz.payload_offset == 1024 && bz.payload_size == 0x1000 && bz.cmdline_max == 2047);
	CHECK("bzImage: signature behind the kernel is no harm", !parse(NULL, size + 5000, &bz));
	CHECK("bzImage: 32-bit entry", !parse(only_32_bit, size, &bz) && !bz.entry64);
	CHECK("bzImage: cut in the kernel", parse(NULL, size - 100, &bz));
	CHECK("bzImage: cut in the header", parse(NULL, 1000, &bz));
	CHECK("bzImage: too old", parse(too_old, size, &bz));
	CHECK("bzImage: zImage", parse(zimage, size, &bz));
	CHECK("bzImage: odd alignment", parse(odd_alignment, size, &bz));
	CHECK("bzImage: no alignment", parse(no_alignment, size, &bz));
	CHECK("bzImage: address below 1 MiB", parse(low_address, size, &bz));
	CHECK("bzImage: address beyond memory", parse(huge_address, size, &bz));
	CHECK("bzImage: no kernel inside", parse(no_payload, size, &bz));
}

static int load_bytes(const uint8_t *bytes, size_t len, struct cpu_entry *entry)
{
	struct boot_config config = { .cmdline = "console=ttyS0", .cpus = 1 };
	struct image image;
	int err;

	if (file_of(bytes, len, &image))
		return -2;
	config.kernel = image.path;
	err = boot_load(&config, &mem, entry);
	close(image.fd);
	return err;
}

static void test_bzimage_load(void)
{
	static uint8_t file[1024 + 0x1000];
	struct boot_params *bp = (struct boot_params *)(mem.base + AT_BOOT_PARAMS);
	struct cpu_entry entry;

	make_bzimage(file);
	file[1024] = 0x5a;
	CHECK("bzImage: loads", !load_bytes(file, sizeof(file), &entry));
	CHECK("bzImage: entry", entry.long_mode && entry.rip == 0x1000200 &&
	      entry.rsi == AT_BOOT_PARAMS && mem.base[0x1000000] == 0x5a);
	CHECK("bzImage: command line", !strcmp((char *)mem.base + AT_CMDLINE, "console=ttyS0") &&
	      bp->hdr.cmd_line_ptr == AT_CMDLINE);
	CHECK("bzImage: memory map", bp->e820_entries >= 4 &&
	      bp->e820_table[2].addr + bp->e820_table[2].size == mem.low);
	CHECK("bzImage: ACPI", !memcmp(mem.base + bp->acpi_rsdp_addr, "RSD PTR ", 8));
	CHECK("empty file", load_bytes(file, 0, &entry) == -1);
	CHECK("not a kernel", load_bytes((const uint8_t *)"#!/bin/sh\n", 10, &entry) == -1);
}

struct elf_file {
	Elf64_Ehdr eh;
	Elf64_Phdr ph[2];
	Elf64_Nhdr nh;
	char name[4];
	uint32_t entry;
	uint8_t code[64];
};

static void make_elf(struct elf_file *f)
{
	*f = (struct elf_file){
		.eh = {
			.e_type = ET_EXEC, .e_machine = EM_X86_64, .e_phnum = 2,
			.e_phoff = offsetof(struct elf_file, ph), .e_phentsize = sizeof(Elf64_Phdr),
		},
		.ph = {
			{ .p_type = PT_LOAD, .p_offset = offsetof(struct elf_file, code),
			  .p_paddr = 2 * MIB, .p_filesz = 64, .p_memsz = 4096 },
			{ .p_type = PT_NOTE, .p_offset = offsetof(struct elf_file, nh),
			  .p_filesz = sizeof(Elf64_Nhdr) + 8 },
		},
		.nh = { .n_namesz = 4, .n_descsz = 4, .n_type = 18 },
		.name = "Xen",
		.entry = 2 * MIB + 16,
		.code = { 0xf4 },
	};
	memcpy(f->eh.e_ident, ELFMAG, SELFMAG);
	f->eh.e_ident[EI_CLASS] = ELFCLASS64;
	f->eh.e_ident[EI_DATA] = ELFDATA2LSB;
}

static void test_elf(void)
{
	struct cpu_entry entry;
	struct elf_file f;

#define REFUSED(name, change)                                                              \
	do {                                                                               \
		make_elf(&f);                                                              \
		change;                                                                    \
		CHECK("ELF: " name, load_bytes((uint8_t *)&f, sizeof(f), &entry) == -1);   \
	} while (0)
	make_elf(&f);
	CHECK("ELF: loads", !load_bytes((uint8_t *)&f, sizeof(f), &entry));
	CHECK("ELF: entry", !entry.long_mode && entry.rip == 2 * MIB + 16 &&
	      entry.rbx == AT_START_INFO && mem.base[2 * MIB] == 0xf4);
	REFUSED("32-bit", f.eh.e_ident[EI_CLASS] = ELFCLASS32);
	REFUSED("another CPU", f.eh.e_machine = EM_AARCH64);
	REFUSED("object file", f.eh.e_type = ET_REL);
	REFUSED("headers behind the end", f.eh.e_phoff = sizeof(f));
	REFUSED("headers around the end of the address space", f.eh.e_phoff = -8ull);
	REFUSED("no segments", f.eh.e_phnum = 0);
	REFUSED("too many segments", f.eh.e_phnum = 0xffff);
	REFUSED("header size", f.eh.e_phentsize = 8);
	REFUSED("segment behind the end", f.ph[0].p_offset = sizeof(f));
	REFUSED("segment that wraps", f.ph[0].p_offset = -32ull);
	REFUSED("segment larger in file than in memory", f.ph[0].p_memsz = 8);
	REFUSED("segment below 1 MiB", f.ph[0].p_paddr = AT_CMDLINE);
	REFUSED("segment beyond memory", f.ph[0].p_paddr = mem.low - 4);
	REFUSED("segment at the end of the address space", f.ph[0].p_paddr = -4096ull);
	REFUSED("segment that fills the address space", f.ph[0].p_memsz = -1ull);
	REFUSED("note behind the end", f.ph[1].p_filesz = 4096);
	REFUSED("note with a long name", f.nh.n_namesz = 0xffffffff);
	REFUSED("note with a long value", f.nh.n_descsz = 0xfffffffc);
	REFUSED("note without a value", f.nh.n_descsz = 0);
	REFUSED("no entry", f.nh.n_type = 17);
	REFUSED("entry outside", f.entry = 64 * MIB);
	REFUSED("entry below", f.entry = 0x1000);
#undef REFUSED
}

/* Damage anything: whatever comes of it, no byte outside is touched (the sanitizer watches). */
static void test_damage(void)
{
	static uint8_t bz[1024 + 0x1000], damaged[sizeof(bz)];
	struct cpu_entry entry;
	struct elf_file f;
	unsigned int i, n, loaded = 0;

	make_bzimage(bz);
	make_elf(&f);
	for (i = 0; i < ROUNDS; i++) {
		size_t len = i & 1 ? sizeof(f) : sizeof(bz);

		memcpy(damaged, i & 1 ? (void *)&f : bz, len);
		for (n = chance() % 4 + 1; n; n--) {
			size_t at = i & 1 ? chance() % 212 : 0x1f1 + chance() % 0x78;

			damaged[at] = (uint8_t)(chance() & 1 ? chance() : 0xff);
		}
		if (!(chance() % 4))
			len = chance() % len;
		if (!load_bytes(damaged, len, &entry)) {
			loaded++;
			if (!guest_at(&mem, entry.rip, 1))
				break;
		}
	}
	CHECK("damaged images", i == ROUNDS && loaded);
}

static void test_memory(void)
{
	struct guest_memory big = { .base = (uint8_t *)4096, .low = HOLE_START, .high = 2ull << 30 };
	struct e820_range r[E820_MAX];
	unsigned int i, n = e820_build(&big, r);
	uint64_t ram = 0, end = 0;
	int ordered = 1;

	for (i = 0; i < n; i++) {
		ordered &= r[i].at >= end;
		end = r[i].at + r[i].size;
		if (r[i].type == 1)
			ram += r[i].size;
	}
	CHECK("memory map: ascending", ordered);
	CHECK("memory map: all of it", ram == (5ull << 30) - (MIB - LOW_RAM_END));
	CHECK("memory: below the hole", guest_at(&big, HOLE_START - 1, 1) && !guest_at(&big, HOLE_START, 1));
	CHECK("memory: across the hole", !guest_at(&big, HOLE_START - 1, 2) &&
	      !guest_at(&big, HOLE_END - 1, 2));
	CHECK("memory: above 4 GiB",
	      guest_at(&big, HOLE_END, 2ull << 30) == big.base + HOLE_START &&
	      !guest_at(&big, HOLE_END, (2ull << 30) + 1) && !guest_at(&big, -1ull, 2));
}

static int dump_acpi(const char *cpus, const char *path)
{
	static uint8_t tables[ACPI_SIZE];
	uint64_t rsdp;
	FILE *out;

	if (acpi_build(tables, sizeof(tables), AT_ACPI, (unsigned int)atoi(cpus), &rsdp))
		return 1;
	out = fopen(path, "w");
	return !out || fwrite(tables, sizeof(tables), 1, out) != 1 || fclose(out);
}

int main(int argc, char **argv)
{
	static uint8_t small[2048];
	uint64_t rsdp;

	if (argc == 4 && !strcmp(argv[1], "acpi"))
		return dump_acpi(argv[2], argv[3]);
	mem.low = 32 * MIB;
	mem.base = malloc(mem.low);
	if (!mem.base)
		return 1;
	memset(mem.base, 0, mem.low);
	test_memory();
	test_bzimage_header();
	test_bzimage_load();
	test_elf();
	test_damage();
	CHECK("ACPI: no room", acpi_build(small, sizeof(small), AT_ACPI, 254, &rsdp) == -1);
	free(mem.base);
	return failed;
}

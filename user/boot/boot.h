/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a firmware would do: guest memory, its map, the ACPI tables, and the kernel in its place.
 */
#ifndef LAMINA_BOOT_H
#define LAMINA_BOOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Guest-physical places. Everything that we build lies below 1 MiB. */
enum {
	AT_GDT = 0x500,
	AT_START_INFO = 0x6000,
	AT_BOOT_PARAMS = 0x7000,
	AT_PAGE_TABLES = 0x9000,	/* one PML4, one PDPT, four PDs */
	AT_CMDLINE = 0x20000,
	LOW_RAM_END = 0x9fc00,
	AT_ACPI = 0xe0000,
	ACPI_SIZE = 0x20000,
	HIGH_MEMORY = 0x100000,
};

#define CMDLINE_MAX 0x10000u
#define HOLE_START 0xc0000000ull	/* 3 GiB: PCI window and interrupt controllers */
#define HOLE_END 0x100000000ull
#define ECAM_ADDRESS 0xc0000000ull	/* PCI configuration space: one bus */
#define ECAM_SIZE 0x100000ull
#define PCI_WINDOW (ECAM_ADDRESS + ECAM_SIZE)	/* where BARs can be */
#define PCI_WINDOW_END 0xfec00000ull
#define IOAPIC_ADDRESS 0xfec00000u
#define LAPIC_ADDRESS 0xfee00000u
/* Intel's real mode under KVM needs a page table and a TSS that the guest leaves alone. */
#define IDENTITY_MAP_ADDRESS 0xfffbc000ull
#define TSS_ADDRESS 0xfffbd000ull

/**
 * struct guest_memory - the guest's RAM in this process
 * @base: address of guest-physical 0
 * @low: bytes below the hole, from guest-physical 0
 * @high: bytes from 4 GiB on; they follow the low ones at @base + @low
 * @map: the mapping that holds them
 * @map_size: its size
 */
struct guest_memory {
	uint8_t *base;
	uint64_t low, high;
	void *map;
	size_t map_size;
};

/**
 * struct boot_config - what to boot
 * @kernel: file, a bzImage or an ELF with a PVH entry
 * @initrd: file, or NULL
 * @cmdline: the kernel's command line
 * @cpus: number of vCPUs, for the ACPI tables
 */
struct boot_config {
	const char *kernel;
	const char *initrd;
	const char *cmdline;
	unsigned int cpus;
};

/**
 * struct cpu_entry - the first vCPU's state at the kernel's entry
 * @long_mode: 64-bit with the identity page tables, else 32-bit without paging
 * @rip: entry point
 * @rbx: argument of PVH
 * @rsi: argument of Linux's boot protocol
 */
struct cpu_entry {
	bool long_mode;
	uint64_t rip, rbx, rsi;
};

/** struct image - a kernel file that is open */
struct image {
	const char *path;
	int fd;
	uint64_t size;
};

/** struct loaded - the initrd's place, once loaded; size 0 without one */
struct loaded {
	uint64_t at, size;
};

/* boot.c */
int boot_load(const struct boot_config *config, const struct guest_memory *mem,
	      struct cpu_entry *entry);
void *guest_at(const struct guest_memory *mem, uint64_t gpa, uint64_t len);
int image_open(struct image *image, const char *path, const char *what);
void image_close(struct image *image);
int load_file(const struct guest_memory *mem, const struct image *image, uint64_t offset,
	      uint64_t len, uint64_t gpa);
int load_initrd(const struct guest_memory *mem, const char *path, uint64_t above,
		uint64_t limit, struct loaded *initrd);

/* e820.c */
#define E820_MAX 8
struct e820_range {
	uint64_t at, size;
	uint32_t type;		/* 1 RAM, 2 reserved */
};
unsigned int e820_build(const struct guest_memory *mem, struct e820_range ranges[E820_MAX]);

/* bzimage.c: what the setup header says, checked against the file's size */
#define BZIMAGE_HEAD 0x290
struct bzimage {
	uint64_t payload_offset, payload_size;
	uint64_t load_at, needed;
	uint64_t initrd_max;
	uint32_t cmdline_max;
	uint32_t header_size;	/* bytes of the setup header, from 0x1f1 */
	bool entry64;
};
bool bzimage_is(const uint8_t *head, size_t len);
int bzimage_parse(const uint8_t *head, size_t len, uint64_t file_size, struct bzimage *bz);
int bzimage_load(const struct image *image, const uint8_t *head, size_t len,
		 const struct boot_config *config, const struct guest_memory *mem,
		 uint64_t rsdp, struct cpu_entry *entry);

/* elf.c */
bool elf_is(const uint8_t *head, size_t len);
int elf_load(const struct image *image, const struct boot_config *config,
	     const struct guest_memory *mem, uint64_t rsdp, struct cpu_entry *entry);

/* acpi.c */
int acpi_build(uint8_t *buf, size_t size, uint64_t gpa, unsigned int cpus, uint64_t *rsdp);

#endif

// SPDX-License-Identifier: GPL-2.0-only
/*
 * An ELF kernel with a PVH entry: vmlinux, or anything else that carries Xen's note PHYS32_ENTRY.
 * The entry is in 32-bit mode with RBX pointing at the start info (Xen's docs/misc/pvh.pandoc).
 */
#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "../tool.h"
#include "boot.h"

#define MAX_SEGMENTS 128u
#define MAX_NOTES 0x10000u
#define PHYS32_ENTRY 18u	/* XEN_ELFNOTE_PHYS32_ENTRY */
#define START_MAGIC 0x336ec578u

struct start_info {
	uint32_t magic, version, flags, modules;
	uint64_t modlist, cmdline, rsdp, memmap;
	uint32_t memmap_entries, reserved;
};

struct start_module {
	uint64_t at, size, cmdline, reserved;
};

struct start_memory {
	uint64_t at, size;
	uint32_t type, reserved;
};

/** elf_is() - whether a file that begins with @head is one */
bool elf_is(const uint8_t *head, size_t len)
{
	return len >= SELFMAG && !memcmp(head, ELFMAG, SELFMAG);
}

static bool in_file(const struct image *image, uint64_t offset, uint64_t len)
{
	return offset <= image->size && len <= image->size - offset;
}

static int read_header(const struct image *image, Elf64_Ehdr *eh)
{
	if (!in_file(image, 0, sizeof(*eh)) || read_at(image->fd, eh, sizeof(*eh), 0))
		return fail("%s is cut short", image->path);
	if (eh->e_ident[EI_CLASS] != ELFCLASS64 || eh->e_ident[EI_DATA] != ELFDATA2LSB ||
	    eh->e_machine != EM_X86_64)
		return fail("%s is an ELF file, but not for x86-64", image->path);
	if (eh->e_type != ET_EXEC && eh->e_type != ET_DYN)
		return fail("%s is an ELF file, but no kernel", image->path);
	if (eh->e_phentsize != sizeof(Elf64_Phdr) || !eh->e_phnum || eh->e_phnum > MAX_SEGMENTS ||
	    !in_file(image, eh->e_phoff, eh->e_phnum * sizeof(Elf64_Phdr)))
		return fail("%s has no program headers that make sense", image->path);
	return 0;
}

static int read_segment(const struct image *image, const Elf64_Ehdr *eh, unsigned int i,
			Elf64_Phdr *ph)
{
	if (read_at(image->fd, ph, sizeof(*ph), eh->e_phoff + i * sizeof(*ph)))
		return fail_errno("cannot read %s", image->path);
	return 0;
}

/* Look for the entry among the notes; 0 if it is not there. */
static uint32_t find_entry(const uint8_t *notes, size_t len)
{
	size_t at = 0;

	while (len - at >= sizeof(Elf64_Nhdr)) {
		uint64_t name_at = at + sizeof(Elf64_Nhdr), value_at, end;
		uint32_t entry = 0;
		Elf64_Nhdr nh;

		memcpy(&nh, notes + at, sizeof(nh));
		value_at = name_at + align_up(nh.n_namesz, 4);
		end = value_at + align_up(nh.n_descsz, 4);
		if (end > len)
			break;
		if (nh.n_type == PHYS32_ENTRY && nh.n_namesz == 4 && nh.n_descsz >= 4 &&
		    !memcmp(notes + name_at, "Xen", 4)) {
			memcpy(&entry, notes + value_at, sizeof(entry));
			return entry;
		}
		at = end;
	}
	return 0;
}

static int read_notes(const struct image *image, const Elf64_Phdr *ph, uint32_t *entry)
{
	uint8_t *notes;
	int err = 0;

	if (!in_file(image, ph->p_offset, ph->p_filesz) || ph->p_filesz > MAX_NOTES)
		return fail("%s has notes that make no sense", image->path);
	notes = malloc(ph->p_filesz + 1);
	if (!notes)
		return fail("out of memory");
	if (read_at(image->fd, notes, ph->p_filesz, ph->p_offset))
		err = fail_errno("cannot read %s", image->path);
	else if (!*entry)
		*entry = find_entry(notes, ph->p_filesz);
	free(notes);
	return err;
}

static int load_segment(const struct image *image, const struct guest_memory *mem,
			const Elf64_Phdr *ph, uint64_t *end)
{
	if (!ph->p_memsz)
		return 0;
	if (ph->p_filesz > ph->p_memsz || !in_file(image, ph->p_offset, ph->p_filesz))
		return fail("%s is cut short or damaged", image->path);
	if (ph->p_paddr < HIGH_MEMORY)
		return fail("%s has a segment below 1 MiB, which is not the kernel's", image->path);
	if (!guest_at(mem, ph->p_paddr, ph->p_memsz) || ph->p_paddr >= HOLE_START)
		return fail("%s does not fit into the guest's memory: give it more with --mem",
			    image->path);
	if (ph->p_paddr + ph->p_memsz > *end)
		*end = ph->p_paddr + ph->p_memsz;
	return load_file(mem, image, ph->p_offset, ph->p_filesz, ph->p_paddr);
}

static void build_start_info(const struct guest_memory *mem, const struct loaded *initrd,
			     uint64_t rsdp)
{
	struct start_info *info = (struct start_info *)(mem->base + AT_START_INFO);
	struct start_module *module = (struct start_module *)(info + 1);
	struct start_memory *map = (struct start_memory *)(module + 1);
	struct e820_range ranges[E820_MAX];
	unsigned int i, n = e820_build(mem, ranges);

	for (i = 0; i < n; i++)
		map[i] = (struct start_memory){ ranges[i].at, ranges[i].size, ranges[i].type, 0 };
	module->at = initrd->at;
	module->size = initrd->size;
	*info = (struct start_info){
		.magic = START_MAGIC,
		.version = 1,
		.modules = initrd->size ? 1 : 0,
		.modlist = AT_START_INFO + sizeof(*info),
		.cmdline = AT_CMDLINE,
		.rsdp = rsdp,
		.memmap = AT_START_INFO + sizeof(*info) + sizeof(*module),
		.memmap_entries = n,
	};
}

/**
 * elf_load() - load an ELF kernel, its initrd, command line and start info
 * @image: the file
 * @config: initrd and command line
 * @mem: the guest's RAM
 * @rsdp: where the ACPI tables start
 * @entry: where the vCPU starts
 *
 * Return: 0, or -1 with a message.
 */
int elf_load(const struct image *image, const struct boot_config *config,
	     const struct guest_memory *mem, uint64_t rsdp, struct cpu_entry *entry)
{
	uint64_t end = HIGH_MEMORY;
	struct loaded initrd;
	uint32_t start = 0;
	Elf64_Ehdr eh;
	Elf64_Phdr ph;
	unsigned int i;

	if (read_header(image, &eh))
		return -1;
	/* The entry first: a program that is no kernel has none, and nothing else of it matters. */
	for (i = 0; i < eh.e_phnum; i++) {
		if (read_segment(image, &eh, i, &ph))
			return -1;
		if (ph.p_type == PT_NOTE && read_notes(image, &ph, &start))
			return -1;
	}
	if (!start)
		return fail("%s has no PVH entry: it is no kernel, or one without CONFIG_PVH (then give its bzImage)",
			    image->path);
	for (i = 0; i < eh.e_phnum; i++) {
		if (read_segment(image, &eh, i, &ph))
			return -1;
		if (ph.p_type == PT_LOAD && load_segment(image, mem, &ph, &end))
			return -1;
	}
	if (start < HIGH_MEMORY || start >= end)
		return fail("%s has an entry outside the kernel", image->path);
	if (load_initrd(mem, config->initrd, end, 0x80000000, &initrd))
		return -1;
	strcpy((char *)mem->base + AT_CMDLINE, config->cmdline);
	build_start_info(mem, &initrd, rsdp);
	entry->long_mode = false;
	entry->rip = start;
	entry->rbx = AT_START_INFO;
	entry->rsi = 0;
	return 0;
}

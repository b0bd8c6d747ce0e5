// SPDX-License-Identifier: GPL-2.0-only
/*
 * Puts the kernel, its initrd, the ACPI tables and the boot structures into a fresh guest's memory.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "../tool.h"
#include "boot.h"

/**
 * guest_at() - where a piece of guest memory is in this process
 * @mem: the RAM
 * @gpa: guest-physical address
 * @len: bytes
 *
 * Return: its address, or NULL if not all of it is RAM in one piece.
 */
void *guest_at(const struct guest_memory *mem, uint64_t gpa, uint64_t len)
{
	if (gpa <= mem->low && len <= mem->low - gpa)
		return mem->base + gpa;
	if (gpa >= HOLE_END && gpa - HOLE_END <= mem->high && len <= mem->high - (gpa - HOLE_END))
		return mem->base + mem->low + (gpa - HOLE_END);
	return NULL;
}

/**
 * image_open() - open a regular file to load from
 * @image: to fill in
 * @path: the file
 * @what: what it is, for the message
 *
 * Return: 0, or -1 with a message.
 */
int image_open(struct image *image, const char *path, const char *what)
{
	struct stat st;

	image->path = path;
	image->fd = hold_open(path, O_RDONLY);
	if (image->fd < 0)
		return fail_errno("cannot open the %s %s", what, path);
	if (fstat(image->fd, &st) < 0) {
		fail_errno("cannot read the %s %s", what, path);
	} else if (!S_ISREG(st.st_mode)) {
		fail("the %s %s is not a regular file", what, path);
	} else {
		image->size = (uint64_t)st.st_size;
		return 0;
	}
	image_close(image);
	return -1;
}

/** image_close() - close it */
void image_close(struct image *image)
{
	hold_close(image->fd);
	image->fd = -1;
}

/**
 * load_file() - read a piece of a file straight into guest memory
 * @mem: the RAM
 * @image: the file
 * @offset: in the file
 * @len: bytes
 * @gpa: where to
 *
 * Return: 0, or -1 with a message.
 */
int load_file(const struct guest_memory *mem, const struct image *image, uint64_t offset,
	      uint64_t len, uint64_t gpa)
{
	void *to = guest_at(mem, gpa, len);

	if (!to)
		return fail("%s does not fit into the guest's memory: give it more with --mem",
			    image->path);
	if (read_at(image->fd, to, len, offset))
		return fail_errno("cannot read %s", image->path);
	return 0;
}

/**
 * load_initrd() - load the initrd as high as the kernel can take it
 * @mem: the RAM
 * @path: the file, or NULL for none
 * @above: end of the kernel
 * @limit: no byte of it at or above this address
 * @initrd: where it is now
 *
 * Return: 0, or -1 with a message.
 */
int load_initrd(const struct guest_memory *mem, const char *path, uint64_t above,
		uint64_t limit, struct loaded *initrd)
{
	struct image image;
	int err;

	*initrd = (struct loaded){ 0, 0 };
	if (!path)
		return 0;
	if (image_open(&image, path, "initrd"))
		return -1;
	if (limit > mem->low)
		limit = mem->low;
	initrd->size = image.size;
	if (image.size > limit || align_down(limit - image.size, 4096) < above) {
		image_close(&image);
		return fail("the initrd %s (%llu MiB) does not fit into the guest's memory: give it more with --mem",
			    path, (unsigned long long)image.size >> 20);
	}
	initrd->at = align_down(limit - image.size, 4096);
	err = load_file(mem, &image, 0, image.size, initrd->at);
	image_close(&image);
	return err;
}

/* Flat segments: 0x10 code (64-bit or 32-bit), 0x18 data, 0x20 a TSS that nobody uses. */
static void build_gdt(const struct guest_memory *mem, bool long_mode)
{
	uint64_t gdt[5] = {
		[2] = long_mode ? 0x00af9b000000ffff : 0x00cf9b000000ffff,
		[3] = 0x00cf93000000ffff,
		[4] = 0x00008b0000000067,
	};

	memcpy(mem->base + AT_GDT, gdt, sizeof(gdt));
}

/* The first 4 GiB, mapped one to one with 2 MiB pages: present, writable, and PS for the last level. */
static void build_page_tables(const struct guest_memory *mem)
{
	uint64_t *pml4 = (uint64_t *)(mem->base + AT_PAGE_TABLES);
	uint64_t *pdpt = pml4 + 512, *pd = pdpt + 512;
	unsigned int i;

	pml4[0] = (AT_PAGE_TABLES + 0x1000) | 3;
	for (i = 0; i < 4; i++)
		pdpt[i] = (AT_PAGE_TABLES + 0x2000 + i * 0x1000) | 3;
	for (i = 0; i < 4 * 512; i++)
		pd[i] = (uint64_t)i << 21 | 0x83;
}

/**
 * boot_load() - load the kernel and everything it finds at its entry
 * @config: what to boot
 * @mem: the guest's RAM, all zero
 * @entry: where and how the first vCPU starts
 *
 * Return: 0, or -1 with a message.
 */
int boot_load(const struct boot_config *config, const struct guest_memory *mem,
	      struct cpu_entry *entry)
{
	uint8_t head[BZIMAGE_HEAD];
	struct image image;
	uint64_t rsdp;
	size_t len;
	int err;

	if (strlen(config->cmdline) >= CMDLINE_MAX)
		return fail("the command line is longer than %u bytes", CMDLINE_MAX - 1);
	if (image_open(&image, config->kernel, "kernel"))
		return -1;
	len = image.size < sizeof(head) ? (size_t)image.size : sizeof(head);
	err = read_at(image.fd, head, len, 0);
	if (err)
		fail_errno("cannot read the kernel %s", image.path);
	if (!err)
		err = acpi_build(guest_at(mem, AT_ACPI, ACPI_SIZE), ACPI_SIZE, AT_ACPI,
				 config->cpus, &rsdp);
	if (!err) {
		if (bzimage_is(head, len))
			err = bzimage_load(&image, head, len, config, mem, rsdp, entry);
		else if (elf_is(head, len))
			err = elf_load(&image, config, mem, rsdp, entry);
		else
			err = fail("%s is not a kernel: neither a bzImage nor an ELF file",
				   image.path);
	}
	image_close(&image);
	if (err)
		return -1;
	build_gdt(mem, entry->long_mode);
	if (entry->long_mode)
		build_page_tables(mem);
	return 0;
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * A bzImage by Linux's boot protocol (Documentation/x86/boot.rst): 64-bit entry where the image has one,
 * 32-bit entry otherwise. No byte of the header is believed before it is checked against the file.
 */
#include <asm/bootparam.h>
#include <stddef.h>
#include <string.h>

#include "../tool.h"
#include "boot.h"

#define HEADER 0x1f1		/* offset of the setup header in image and boot_params */
#define OLDEST 0x0206		/* first with cmdline_size */

_Static_assert(offsetof(struct boot_params, hdr) == HEADER, "boot_params");
_Static_assert(HEADER + sizeof(struct setup_header) <= BZIMAGE_HEAD, "setup header");

/** bzimage_is() - whether a file that begins with @head is one */
bool bzimage_is(const uint8_t *head, size_t len)
{
	return len >= 0x206 && !memcmp(head + 0x1fe, "\x55\xaa", 2) &&
	       !memcmp(head + 0x202, "HdrS", 4);
}

/**
 * bzimage_parse() - read the setup header
 * @head: the file's first bytes
 * @len: how many, at most BZIMAGE_HEAD
 * @file_size: size of the file
 * @bz: what the header says
 *
 * Return: 0, or -1 with a message.
 */
int bzimage_parse(const uint8_t *head, size_t len, uint64_t file_size, struct bzimage *bz)
{
	struct setup_header hdr;
	uint64_t align;

	if (len < BZIMAGE_HEAD)
		return fail("the kernel image is cut short");
	memcpy(&hdr, head + HEADER, sizeof(hdr));
	if (hdr.version < OLDEST)
		return fail("the kernel image is too old: boot protocol %u.%02u, 2.06 is needed",
			    hdr.version >> 8, hdr.version & 0xff);
	if (!(hdr.loadflags & LOADED_HIGH))
		return fail("the kernel image is a zImage, which cannot be booted: a bzImage is needed");

	/* The header ends where the jump at its start leads to. */
	bz->header_size = 0x202u + head[0x201] - HEADER;
	if (bz->header_size > sizeof(hdr))
		bz->header_size = sizeof(hdr);

	bz->payload_offset = ((hdr.setup_sects ? hdr.setup_sects : 4) + 1u) * 512u;
	bz->payload_size = (uint64_t)hdr.syssize * 16;
	/* The last paragraph may be part padding, part the checksum behind the kernel. */
	if (bz->payload_offset >= file_size || !hdr.syssize ||
	    bz->payload_size > align_up(file_size - bz->payload_offset, 16))
		return fail("the kernel image is cut short");
	if (bz->payload_size > file_size - bz->payload_offset)
		bz->payload_size = file_size - bz->payload_offset;

	bz->entry64 = hdr.version >= 0x020c && (hdr.xloadflags & XLF_KERNEL_64);
	bz->cmdline_max = hdr.cmdline_size;
	bz->initrd_max = hdr.initrd_addr_max;
	if (hdr.version >= 0x020a) {
		align = hdr.kernel_alignment;
		if (hdr.pref_address < HIGH_MEMORY || hdr.pref_address >= HOLE_START ||
		    !align || (align & (align - 1)) || (hdr.pref_address & (align - 1)))
			return fail("the kernel image's preferred address makes no sense");
		bz->load_at = hdr.pref_address;
		bz->needed = hdr.init_size;
	} else {
		bz->load_at = HIGH_MEMORY;
		bz->needed = 3 * bz->payload_size;	/* room to unpack itself */
	}
	if (bz->needed < bz->payload_size)
		bz->needed = bz->payload_size;
	if (bz->entry64 && bz->payload_size < 0x200 + 1)
		return fail("the kernel image is cut short");
	return 0;
}

static void fill_memory_map(struct boot_params *bp, const struct guest_memory *mem)
{
	struct e820_range ranges[E820_MAX];
	unsigned int i, n = e820_build(mem, ranges);

	for (i = 0; i < n; i++) {
		bp->e820_table[i].addr = ranges[i].at;
		bp->e820_table[i].size = ranges[i].size;
		bp->e820_table[i].type = ranges[i].type;
	}
	bp->e820_entries = (__u8)n;
}

/**
 * bzimage_load() - load the kernel, its initrd, command line and boot_params
 * @image: the file
 * @head: its first bytes
 * @len: how many
 * @config: initrd and command line
 * @mem: the guest's RAM
 * @rsdp: where the ACPI tables start
 * @entry: where the vCPU starts
 *
 * Return: 0, or -1 with a message.
 */
int bzimage_load(const struct image *image, const uint8_t *head, size_t len,
		 const struct boot_config *config, const struct guest_memory *mem,
		 uint64_t rsdp, struct cpu_entry *entry)
{
	struct boot_params *bp = (struct boot_params *)(mem->base + AT_BOOT_PARAMS);
	size_t cmdline_len = strlen(config->cmdline);
	struct loaded initrd;
	struct bzimage bz;

	if (bzimage_parse(head, len, image->size, &bz))
		return -1;
	if (cmdline_len > bz.cmdline_max)
		return fail("the command line is longer than the %u bytes that this kernel takes",
			    bz.cmdline_max);
	if (!guest_at(mem, bz.load_at, bz.needed))
		return fail("this kernel needs at least %llu MiB of memory: give it more with --mem",
			    (unsigned long long)(bz.load_at + bz.needed + 0xfffff) >> 20);
	if (load_file(mem, image, bz.payload_offset, bz.payload_size, bz.load_at))
		return -1;
	if (load_initrd(mem, config->initrd, bz.load_at + bz.needed, bz.initrd_max + 1, &initrd))
		return -1;
	memcpy(mem->base + AT_CMDLINE, config->cmdline, cmdline_len + 1);

	memcpy((uint8_t *)bp + HEADER, head + HEADER, bz.header_size);
	bp->hdr.type_of_loader = 0xff;
	bp->hdr.code32_start = (__u32)bz.load_at;
	bp->hdr.cmd_line_ptr = AT_CMDLINE;
	bp->hdr.vid_mode = 0xffff;
	bp->hdr.ramdisk_image = (__u32)initrd.at;
	bp->hdr.ramdisk_size = (__u32)initrd.size;
	bp->acpi_rsdp_addr = rsdp;
	fill_memory_map(bp, mem);

	entry->long_mode = bz.entry64;
	entry->rip = bz.load_at + (bz.entry64 ? 0x200 : 0);
	entry->rsi = AT_BOOT_PARAMS;
	entry->rbx = 0;
	return 0;
}

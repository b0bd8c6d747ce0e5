// SPDX-License-Identifier: GPL-2.0-only
/*
 * Compares the lengths of lm_insn_decode() with those of an independent disassembler.
 *
 * Random encodings stand in slots of 32 bytes, the tail of a slot being NOPs, so that objdump is in
 * step again at each slot whatever the bytes mean.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "insn.h"
#include "random.h"

#define SLOT	32

static const char *const op_names[] = {
#define OP_NAME(name) #name,
	LM_OPS(OP_NAME)
};

struct totals {
	unsigned int same, skipped, unknown, differ;
};

/* Bytes that are likely to be an instruction: some prefixes, then an opcode of any map. */
static void generate(u8 *slot, bool m64)
{
	static const u8 prefixes[] = { 0x66, 0x67, 0xf2, 0xf3, 0x2e, 0x64, 0x65, 0xf0 };
	unsigned int i, n = 0, r = rnd() % 16;

	memset(slot, 0x90, SLOT);
	for (i = 0; i < 16; i++)
		slot[i] = rnd();
	if (r < 6)
		slot[n++] = prefixes[rnd() % 7];
	if (r < 2)
		slot[n++] = prefixes[rnd() % 8];
	if (m64 && rnd() % 3 == 0)
		slot[n++] = 0x40 | (rnd() & 15);
	r = rnd() % 16;
	if (r < 6) {
		slot[n++] = 0x0f;
		if (r == 5)
			slot[n++] = rnd() % 2 ? 0x38 : 0x3a;
	} else if (r == 6) {
		slot[n++] = 0xc4 + rnd() % 2;
		if (slot[n - 1] == 0xc4)
			slot[n++] = 0xe0 | (1 + rnd() % 3);
		slot[n++] = 0xf8 | (rnd() & 7);
	}
}

/* Lines that name only prefixes, or nothing the disassembler knows. */
static bool is_no_instruction(const char *text)
{
	static const char *const words[] = {
		"rex", "data16", "data32", "addr16", "addr32", "repz", "repnz", "rep", "lock", "cs",
		"ds", "es", "ss", "fs", "gs", "xacquire", "xrelease", "bnd", "notrack",
	};
	char word[32];
	unsigned int i;
	int n;

	if (strstr(text, "(bad)") || strstr(text, ".byte"))
		return true;
	while (sscanf(text, " %31s%n", word, &n) == 1) {
		char *dot = strchr(word, '.');

		if (dot)
			*dot = 0;
		for (i = 0; i < ARRAY_SIZE(words); i++)
			if (!strcmp(word, words[i]))
				break;
		if (i == ARRAY_SIZE(words))
			return false;
		text += n;
	}
	return true;
}

static void compare(const u8 *slot, unsigned int len, const char *text, unsigned int mode,
		    struct totals *t, const char *name, bool verbose)
{
	struct lm_insn insn;
	unsigned int i;
	int ret;

	ret = lm_insn_decode(&insn, slot, 16, mode);
	/* objdump takes WAIT and the x87 instruction after it for one */
	if (is_no_instruction(text) || (!insn.map && insn.opcode == 0x9b)) {
		t->skipped++;
		return;
	}
	if (ret == LM_INSN_UNKNOWN) {
		t->unknown++;
		if (verbose) {
			printf("# unknown:");
			for (i = 0; i < len; i++)
				printf(" %02x", slot[i]);
			printf("  %s", text);
		}
		return;
	}
	if (ret == LM_INSN_UD) {
		t->skipped++;
		if (verbose && !(insn.flags & LM_INSN_LOCK))
			printf("# undefined: %s", text);
	} else if (ret == LM_INSN_OK && insn.len == len)
		t->same++;
	else if (t->differ++ < 20) {
		printf("# %s: ret %d len %u (%s), objdump %u:", name, ret, insn.len,
		       op_names[insn.id], len);
		for (i = 0; i < len || i < insn.len; i++)
			printf(" %02x", slot[i]);
		printf("  %s", text);
	}
}

static int run(const char *name, const char *args, unsigned int mode, unsigned int count,
	       bool verbose)
{
	char path[] = "/tmp/lm-insn-XXXXXX", cmd[256], line[512];
	struct totals t = { 0 };
	unsigned int i, seen = 0;
	FILE *f;
	u8 *buf;
	int fd;

	buf = malloc((size_t)count * SLOT);
	fd = mkstemp(path);
	if (!buf || fd < 0)
		return 1;
	for (i = 0; i < count; i++)
		generate(buf + (size_t)i * SLOT, (mode & LM_MODE_MASK) == LM_MODE_64);
	if (write(fd, buf, (size_t)count * SLOT) != (ssize_t)count * SLOT)
		return 1;
	close(fd);
	snprintf(cmd, sizeof(cmd), "objdump -z -w --insn-width=16 -D -b binary %s %s", args, path);
	f = popen(cmd, "r");
	while (f && fgets(line, sizeof(line), f)) {
		unsigned long addr;
		unsigned int byte;
		char *p, *colon = strchr(line, ':');
		int n, len = 0;

		if (!colon || sscanf(line, " %lx:", &addr) != 1 || addr % SLOT)
			continue;
		for (p = colon + 1; *p && strncmp(p, "  ", 2) && sscanf(p, "%2x%n", &byte, &n) == 1; p += n)
			len++;
		if (addr / SLOT >= count || !len)
			continue;
		seen++;
		compare(buf + addr, len, p, mode, &t, name, verbose);
	}
	if (f)
		pclose(f);
	unlink(path);
	free(buf);
	printf("# %s: %u same, %u differ, %u not in our tables, %u not comparable\n", name, t.same,
	       t.differ, t.unknown, t.skipped);
	/* Should objdump be missing or its output change, that must not look like success. */
	if (t.differ || seen != count || t.same < count / 3 || t.unknown > count / 50) {
		printf("not ok insn_lengths_%s - %u differ, %u of %u seen, %u same, %u unknown\n", name,
		       t.differ, seen, count, t.same, t.unknown);
		return 1;
	}
	printf("ok insn_lengths_%s\n", name);
	return 0;
}

int main(int argc, char **argv)
{
	unsigned int count = argc > 1 ? strtoul(argv[1], NULL, 0) : 60000;
	bool verbose = argc > 3;
	int bad = 0;

	seed_from(argc > 2 ? argv[2] : NULL);
	bad |= run("64_amd", "-mi386:x86-64 -M amd64", LM_MODE_64 | LM_MODE_AMD, count, verbose);
	bad |= run("64_intel", "-mi386:x86-64 -M intel64", LM_MODE_64, count, verbose);
	bad |= run("32", "-mi386", LM_MODE_32, count, verbose);
	bad |= run("16", "-mi8086", LM_MODE_16, count, verbose);
	return bad;
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * kexec, as far as the tests need it, without a package for it.
 *
 *	lmkexec load|crash KERNEL INITRD COMMAND_LINE
 *	lmkexec exec		reboot into the loaded kernel, by no service's leave
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/kexec.h>
#include <linux/reboot.h>
#include <stdio.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	unsigned long flags;
	int kernel, initrd;

	if (argc == 2 && !strcmp(argv[1], "exec")) {
		reboot(LINUX_REBOOT_CMD_KEXEC);
		perror("lmkexec: reboot");
		return 1;
	}
	if (argc != 5) {
		fprintf(stderr, "usage: lmkexec load|crash KERNEL INITRD COMMAND_LINE | lmkexec exec\n");
		return 2;
	}
	flags = strcmp(argv[1], "crash") ? 0 : KEXEC_FILE_ON_CRASH;
	kernel = open(argv[2], O_RDONLY | O_CLOEXEC);
	initrd = open(argv[3], O_RDONLY | O_CLOEXEC);
	if (kernel < 0 || initrd < 0 ||
	    syscall(SYS_kexec_file_load, kernel, initrd, strlen(argv[4]) + 1, argv[4], flags)) {
		perror("lmkexec");
		return 1;
	}
	return 0;
}

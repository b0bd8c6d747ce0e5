// SPDX-License-Identifier: GPL-2.0-only
/*
 * How an emulated host speaks to the outside apart from its console: port 0xe9
 * is a file there. A write to port 0xf4 ends QEMU with status 2 * CODE + 1, a word to
 * port 0x8900 ends Bochs.
 *
 *	verdict log		copies standard input to the file
 *	verdict exit CODE	ends the emulator
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <unistd.h>

#define PORT_LOG	0xe9
#define PORT_EXIT	0xf4
#define PORT_SHUTDOWN	0x8900
#define PORT_LSR	0x3fd
#define LSR_TEMT	0x40

int main(int argc, char **argv)
{
	static char buf[65536];
	ssize_t len;

	if (iopl(3)) {
		perror("verdict: iopl");
		return 1;
	}
	if (argc == 2 && !strcmp(argv[1], "log")) {
		while ((len = read(STDIN_FILENO, buf, sizeof(buf))) > 0)
			outsb(PORT_LOG, buf, len);
		return len < 0;
	}
	if (argc == 3 && !strcmp(argv[1], "exit")) {
		/* Bochs forgets what is still in the serial port. */
		while (!(inb(PORT_LSR) & LSR_TEMT))
			;
		outb(atoi(argv[2]), PORT_EXIT);
		outsb(PORT_SHUTDOWN, "Shutdown", 8);
		pause();
	}
	fprintf(stderr, "usage: verdict log | verdict exit CODE\n");
	return 2;
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * A connection between a host and its guest.
 *
 *	lmvsock listen PORT		take one connection and send back what comes
 *	lmvsock CID PORT WORD		connect, send WORD, print what comes back
 */
#include <linux/vm_sockets.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int echo(int fd)
{
	char text[256];
	ssize_t got;

	while ((got = read(fd, text, sizeof(text))) > 0) {
		if (write(fd, text, (size_t)got) != got)
			return 1;
	}
	return got < 0;
}

static int ask(int fd, const char *word)
{
	char text[256];
	size_t len = strlen(word), have = 0;
	ssize_t got = 1;

	if (write(fd, word, len) != (ssize_t)len)
		return 1;
	while (have < len && have < sizeof(text) - 1 && got > 0) {
		got = read(fd, text + have, sizeof(text) - 1 - have);
		have += got > 0 ? (size_t)got : 0;
	}
	text[have] = '\0';
	puts(text);
	return 0;
}

int main(int argc, char **argv)
{
	struct sockaddr_vm addr = { .svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY };
	int fd = socket(AF_VSOCK, SOCK_STREAM, 0);

	if (argc < 3 || fd < 0)
		return 2;
	addr.svm_port = (unsigned int)atoi(argv[2]);
	if (!strcmp(argv[1], "listen")) {
		if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) || listen(fd, 1))
			return 1;
		fd = accept(fd, NULL, NULL);
		return fd < 0 ? 1 : echo(fd);
	}
	addr.svm_cid = (unsigned int)atoi(argv[1]);
	if (argc != 4 || connect(fd, (struct sockaddr *)&addr, sizeof(addr)))
		return 1;
	return ask(fd, argv[3]);
}

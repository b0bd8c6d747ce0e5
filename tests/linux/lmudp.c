// SPDX-License-Identifier: GPL-2.0-only
/*
 * Datagrams between a host and its guest.
 *
 *	lmudp listen PORT		send back what comes
 *	lmudp ADDRESS PORT WORD		send WORD until something comes back, and print that
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define TRIES 30

static int echo(int fd)
{
	struct sockaddr_in from;
	socklen_t len = sizeof(from);
	char text[2048];
	ssize_t got;

	while ((got = recvfrom(fd, text, sizeof(text), 0, (void *)&from, &len)) >= 0)
		sendto(fd, text, (size_t)got, 0, (void *)&from, len);
	return 1;
}

static int ask(int fd, const char *word)
{
	struct timeval second = { .tv_sec = 1 };
	char text[2048];
	ssize_t got = -1;
	int i;

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &second, sizeof(second));
	for (i = 0; i < TRIES && got < 0; i++) {
		send(fd, word, strlen(word), 0);
		got = recv(fd, text, sizeof(text), 0);
	}
	if (got < 0)
		return 1;
	printf("%.*s\n", (int)got, text);
	return 0;
}

int main(int argc, char **argv)
{
	struct sockaddr_in addr = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || argc < 3 || argc > 4)
		return 2;
	addr.sin_port = htons((unsigned short)atoi(argv[2]));
	if (argc == 3)
		return bind(fd, (void *)&addr, sizeof(addr)) ? 1 : echo(fd);
	if (inet_pton(AF_INET, argv[1], &addr.sin_addr) != 1)
		return 2;
	return connect(fd, (void *)&addr, sizeof(addr)) ? 1 : ask(fd, argv[3]);
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * The devices' part of the console's loop: an epoll set, which is itself one descriptor in that loop.
 */
#include <pthread.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "loop.h"
#include "machine.h"
#include "tool.h"

/**
 * loop_init() - make the set
 * @m: the machine
 *
 * Return: 0, or -1 with a message.
 */
int loop_init(struct machine *m)
{
	m->loop_fd = epoll_create1(EPOLL_CLOEXEC);
	return m->loop_fd < 0 ? fail_errno("cannot make an epoll set") : 0;
}

/**
 * loop_watch() - begin or end to watch a descriptor; io_lock is held, or the machine does not run yet
 * @m: the machine
 * @w: the watch; must not be freed while it is on
 * @on: begin or end
 *
 * Return: 0, or -1 with a message; ending does not fail.
 */
int loop_watch(struct machine *m, struct watch *w, bool on)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = w };

	if (w->on == on)
		return 0;
	if (epoll_ctl(m->loop_fd, on ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, w->fd, &event) && on)
		return fail_errno("cannot wait for a device");
	w->on = on;
	return 0;
}

/**
 * loop_serve() - call one watch that is ready; what else is ready is there in the next round
 * @m: the machine
 */
void loop_serve(struct machine *m)
{
	struct epoll_event event;
	struct watch *w;

	/* The lock is held from the look to the call, so that the watch cannot go in between. */
	pthread_mutex_lock(&m->io_lock);
	if (epoll_wait(m->loop_fd, &event, 1, 0) == 1) {
		w = event.data.ptr;
		w->ready(w);
	}
	pthread_mutex_unlock(&m->io_lock);
}

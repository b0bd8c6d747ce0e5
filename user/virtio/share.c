// SPDX-License-Identifier: GPL-2.0-only
/*
 * A directory of the host in the guest: 9P over virtio (Virtio 1.2 leaves it to Linux's net/9p/trans_virtio.c). The
 * requests are served in a thread of the device's own (p9.c), since files may take their time.
 *
 * The loop takes requests out of the ring and puts answers in; the thread touches neither ring nor io_lock. So
 * whoever holds that can wait for the thread: a device that was stopped has no request under way.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_9p.h>
#include <linux/virtio_ids.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../machine.h"
#include "../sandbox.h"
#include "../tool.h"
#include "p9.h"
#include "virtio.h"

#define PCI_CLASS_STORAGE_OTHER 0x018000
#define QUEUE_SIZE 128		/* Linux puts so many pieces into one request */
#define TAG_MAX 31

/**
 * struct share_config - what the user asked for
 * @tag: what the guest mounts
 * @ro: read only
 * @path: the directory
 */
struct share_config {
	char tag[TAG_MAX + 1];
	bool ro;
	char path[];
};

/** struct job - a request, and after it how long its answer is */
struct job {
	struct job *next;
	size_t written;
	uint16_t head;
	unsigned int out, in;
	struct iovec iov[];
};

/** struct jobs - some of them, first come first */
struct jobs {
	struct job *first, **last;
};

/**
 * struct share - a directory
 * @v: the virtio device
 * @directory: descriptor
 * @ro: read only
 * @thread: serves it, once @started
 * @answered: wakes the loop: there is something in @done
 * @lock: guards what follows
 * @work: the thread waits here for @todo or @end
 * @idle: and others for it
 * @todo, @done: requests and answers
 * @taken: how many the driver waits for
 * @busy: the thread has one
 * @end: the thread shall end
 * @counters: what was done
 * @p9: what serves it; the thread's alone while @busy
 * @config: what the guest reads
 */
struct share {
	struct virtio v;
	int directory;
	bool ro, started;
	pthread_t thread;
	struct watch answered;
	pthread_mutex_t lock;
	pthread_cond_t work, idle;
	struct jobs todo, done;
	unsigned int taken;
	bool busy, end;
	struct p9_counters counters;
	struct p9 *p9;
	struct {
		uint16_t len;
		char tag[TAG_MAX];
	} __attribute__((packed)) config;
};

static struct share *to_share(struct virtio *v)
{
	return (struct share *)v;
}

static void jobs_init(struct jobs *jobs)
{
	jobs->first = NULL;
	jobs->last = &jobs->first;
}

static void jobs_add(struct jobs *jobs, struct job *job)
{
	job->next = NULL;
	*jobs->last = job;
	jobs->last = &job->next;
}

static struct job *jobs_take(struct jobs *jobs)
{
	struct job *job = jobs->first;

	if (!job)
		return NULL;
	jobs->first = job->next;
	if (!jobs->first)
		jobs->last = &jobs->first;
	return job;
}

static void jobs_drop(struct jobs *jobs)
{
	struct job *job;

	while ((job = jobs_take(jobs)))
		free(job);
}

/* ---- the thread ---- */

static void serve(struct share *share, struct job *job)
{
	struct p9_counters counters = share->counters;
	uint64_t one = 1;

	share->busy = true;
	pthread_mutex_unlock(&share->lock);
	job->written = p9_serve(share->p9, job->iov, job->out, job->iov + job->out, job->in, &counters);
	pthread_mutex_lock(&share->lock);
	share->counters = counters;
	share->busy = false;
	jobs_add(&share->done, job);
	pthread_cond_broadcast(&share->idle);
	if (write(share->answered.fd, &one, sizeof(one)) < 0)
		return;		/* full: it is awake */
}

static void *share_thread(void *data)
{
	struct share *share = data;
	struct job *job;

	/* From here on the umask is this thread's: the client has applied its own. */
	if (!unshare(CLONE_FS))
		umask(0);
	pthread_mutex_lock(&share->lock);
	while (!share->end) {
		job = jobs_take(&share->todo);
		if (job)
			serve(share, job);
		else
			pthread_cond_wait(&share->work, &share->lock);
	}
	pthread_mutex_unlock(&share->lock);
	return NULL;
}

/* ---- the loop ---- */

static struct job *new_job(const struct vq_chain *chain)
{
	size_t pieces = (chain->out + chain->in) * sizeof(struct iovec);
	struct job *job = malloc(sizeof(*job) + pieces);

	if (!job)
		return NULL;
	job->head = chain->head;
	job->out = chain->out;
	job->in = chain->in;
	memcpy(job->iov, chain->iov, pieces);
	return job;
}

static void share_notify(struct virtio *v, struct virtqueue *q)
{
	struct share *share = to_share(v);
	struct vq_chain chain;
	struct job *job;
	unsigned int n;

	for (n = 0; n < q->size && vq_pop(q, &chain); n++) {
		if (share->taken == q->size) {
			virtio_broken(v, "a queue holds more than its size");
			return;
		}
		job = new_job(&chain);
		if (!job) {
			virtio_broken(v, "out of memory");
			return;
		}
		share->taken++;
		pthread_mutex_lock(&share->lock);
		jobs_add(&share->todo, job);
		pthread_cond_signal(&share->work);
		pthread_mutex_unlock(&share->lock);
	}
	/* A guest that never stops asking does not keep others waiting. */
	if (n == q->size)
		vq_again(q);
}

static void on_answer(struct watch *w)
{
	struct share *share = (struct share *)((char *)w - offsetof(struct share, answered));
	struct virtqueue *q = &share->v.queues[0];
	struct job *job, *next;
	uint64_t count;

	if (read(w->fd, &count, sizeof(count)) < 0)
		return;
	pthread_mutex_lock(&share->lock);
	job = share->done.first;
	jobs_init(&share->done);
	pthread_mutex_unlock(&share->lock);
	for (; job; job = next) {
		next = job->next;
		vq_push(q, job->head, (uint32_t)job->written);
		share->taken--;
		free(job);
	}
	vq_signal(q);
}

/* The buffers are the driver's again when this returns. */
static void share_stop(struct virtio *v)
{
	struct share *share = to_share(v);

	pthread_mutex_lock(&share->lock);
	jobs_drop(&share->todo);
	while (share->busy)
		pthread_cond_wait(&share->idle, &share->lock);
	jobs_drop(&share->done);
	share->taken = 0;
	p9_reset(share->p9);
	pthread_mutex_unlock(&share->lock);
}

static void share_describe(const struct virtio *v, FILE *out)
{
	struct share *share = to_share((struct virtio *)v);
	struct p9_counters counters;
	char link[32], path[256];
	ssize_t len;

	pthread_mutex_lock(&share->lock);
	counters = share->counters;
	pthread_mutex_unlock(&share->lock);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", share->directory);
	len = readlink(link, path, sizeof(path));
	if (len > 0)
		fprintf(out, "directory=%.*s\n", (int)len, path);
	fprintf(out, "tag=%.*s\nread_only=%d\nrequests=%llu\nerrors=%llu\nread_bytes=%llu\nwritten_bytes=%llu\n",
		share->config.len, share->config.tag, share->ro, (unsigned long long)counters.requests,
		(unsigned long long)counters.errors, (unsigned long long)counters.read_bytes,
		(unsigned long long)counters.written_bytes);
}

static void share_free(struct virtio *v)
{
	struct share *share = to_share(v);

	if (share->started) {
		pthread_mutex_lock(&share->lock);
		share->end = true;
		pthread_cond_signal(&share->work);
		pthread_mutex_unlock(&share->lock);
		pthread_join(share->thread, NULL);
	}
	loop_watch(v->pci.m, &share->answered, false);
	if (share->answered.fd >= 0)
		close(share->answered.fd);
	p9_free(share->p9);
	if (share->directory >= 0)
		close(share->directory);
}

static const struct virtio_ops share_ops = {
	.id = VIRTIO_ID_9P,
	.class = PCI_CLASS_STORAGE_OTHER,
	.stop = share_stop,
	.notify = share_notify,
	.describe = share_describe,
	.free = share_free,
};

/* ---- making one ---- */

#define HOW "give DIRECTORY:TAG[,ro]"

static void *share_parse(const char *text)
{
	static const char good[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
	const char *colon = text ? strrchr(text, ':') : NULL;
	struct share_config *c;
	size_t len;

	if (!colon || colon == text) {
		fail("which directory, and what is it called in the guest? " HOW);
		return NULL;
	}
	len = strspn(colon + 1, good);
	if (!len || len > TAG_MAX || (colon[1 + len] && strcmp(colon + 1 + len, ",ro"))) {
		fail("'%s' is not a tag: up to %d letters, digits, '.', '_' or '-'; " HOW, colon + 1,
		     TAG_MAX);
		return NULL;
	}
	c = calloc(1, sizeof(*c) + (size_t)(colon - text) + 1);
	if (!c) {
		fail("out of memory");
		return NULL;
	}
	memcpy(c->tag, colon + 1, len);
	c->ro = colon[1 + len];
	memcpy(c->path, text, (size_t)(colon - text));
	return c;
}

static int share_open(const void *config)
{
	const struct share_config *c = config;
	int fd = open(c->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? fail_errno("cannot share %s", c->path) : fd;
}

static int start_thread(struct share *share)
{
	sigset_t before;
	int err;

	/* Signals are for the loop. */
	signals_to_loop(&before);
	err = pthread_create(&share->thread, NULL, share_thread, share);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (err)
		return fail("cannot make a thread: %s", strerror(err));
	share->started = true;
	return 0;
}

static int share_set_up(struct virtio *v, struct machine *m, const void *config, int fd)
{
	static const uint16_t sizes[] = { QUEUE_SIZE };
	const struct share_config *c = config;
	struct share *share = to_share(v);
	struct stat st;

	share->directory = fd;
	share->ro = c->ro;
	share->answered = (struct watch){ .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), .ready = on_answer };
	pthread_mutex_init(&share->lock, NULL);
	pthread_cond_init(&share->work, NULL);
	pthread_cond_init(&share->idle, NULL);
	jobs_init(&share->todo);
	jobs_init(&share->done);
	share->config.len = (uint16_t)strlen(c->tag);
	memcpy(share->config.tag, c->tag, share->config.len);
	v->config = &share->config;
	v->config_size = sizeof(share->config.len) + share->config.len;
	v->offered = VIRTIO_RINGS | VIRTIO_FEATURE(VIRTIO_9P_MOUNT_TAG);
	if (virtio_init(v, m, &share_ops, sizes, ARRAY_SIZE(sizes)))
		return -1;
	if (fstat(fd, &st) || !S_ISDIR(st.st_mode))
		return fail("%s is not a directory", c->path);
	if (share->answered.fd < 0)
		return fail_errno("cannot make an eventfd");
	share->p9 = p9_new(fd, c->ro);
	if (!share->p9 || loop_watch(m, &share->answered, true) || start_thread(share))
		return -1;
	return virtio_plug(v);
}

static unsigned int share_needs(const void *config)
{
	(void)config;
	return SANDBOX_FILES;
}

const struct device_kind share_kind = {
	.option = "share",
	.size = sizeof(struct share),
	.parse = share_parse,
	.needs = share_needs,
	.open = share_open,
	.set_up = share_set_up,
};

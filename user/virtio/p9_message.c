// SPDX-License-Identifier: GPL-2.0-only
/*
 * Messages of 9P2000.L: reading what came, which is checked, and writing what goes.
 */
#include <errno.h>
#include <string.h>

#include "p9_impl.h"

uint64_t p9_get(struct request *r, unsigned int size)
{
	uint64_t value = 0;

	if (r->end - r->at < (ptrdiff_t)size) {
		r->bad = true;
		return 0;
	}
	memcpy(&value, r->at, size);
	r->at += size;
	return value;
}

uint32_t p9_get32(struct request *r)
{
	return (uint32_t)p9_get(r, 4);
}

/* It is moved over its own length, so that there is room for its end. */
const char *p9_get_string(struct request *r)
{
	size_t len = p9_get(r, 2);
	uint8_t *text = r->at - 2;

	if (r->bad || (size_t)(r->end - r->at) < len || memchr(r->at, 0, len)) {
		r->bad = true;
		return "";
	}
	memmove(text, r->at, len);
	text[len] = '\0';
	r->at += len;
	return (const char *)text;
}

/* A name in a directory and not a way to somewhere else. */
const char *p9_get_name(struct request *r)
{
	const char *name = p9_get_string(r);

	if (!*name || strchr(name, '/') || !strcmp(name, ".") || !strcmp(name, ".."))
		r->bad = true;
	return name;
}

void p9_put(struct request *r, uint64_t value, unsigned int size)
{
	memcpy(r->reply, &value, size);
	r->reply += size;
}

void p9_put_string(struct request *r, const char *text, size_t len)
{
	p9_put(r, len, 2);
	memcpy(r->reply, text, len);
	r->reply += len;
}

void p9_put_qid(struct request *r, mode_t mode, dev_t dev, ino_t ino)
{
	p9_put(r, S_ISDIR(mode) ? 0x80 : S_ISLNK(mode) ? 0x02 : 0, 1);
	p9_put(r, 0, 4);
	/* Other file systems in the directory have numbers of their own. */
	p9_put(r, ino ^ (uint64_t)(dev ^ r->s->dev) << 32, 8);
}

int p9_put_qid_of(struct request *r, int fd)
{
	struct stat st;

	if (fstat(fd, &st))
		return -errno;
	p9_put_qid(r, st.st_mode, st.st_dev, st.st_ino);
	return 0;
}

/* @len bytes from @skip on of a list of pieces. */
int p9_slice(const struct iovec *iov, unsigned int count, size_t skip, size_t len,
		 struct iovec *part)
{
	unsigned int i;
	int n = 0;

	for (i = 0; i < count && len; i++) {
		if (skip >= iov[i].iov_len) {
			skip -= iov[i].iov_len;
			continue;
		}
		part[n].iov_base = (uint8_t *)iov[i].iov_base + skip;
		part[n].iov_len = iov[i].iov_len - skip < len ? iov[i].iov_len - skip : len;
		len -= part[n++].iov_len;
		skip = 0;
	}
	return n;
}

size_t p9_total(const struct iovec *iov, unsigned int count)
{
	size_t len = 0;

	while (count--)
		len += iov[count].iov_len;
	return len;
}

void p9_scatter(const struct request *r, size_t at, const uint8_t *data, size_t len)
{
	struct iovec part[MAX_IOV];
	int i, n = p9_slice(r->in, r->nr_in, at, len, part);

	for (i = 0; i < n; i++) {
		memcpy(part[i].iov_base, data, part[i].iov_len);
		data += part[i].iov_len;
	}
}

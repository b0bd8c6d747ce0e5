// SPDX-License-Identifier: GPL-2.0-only
/*
 * The devices that the user asks for: made at power-on, attached and detached while the guest runs. What was
 * asked for is in the machine's configuration, so that a guest that starts again finds what it had.
 *
 * A device comes and goes by ACPI (dev/hotplug.c). The guest's system is told of one that came, and is asked
 * for one that shall go: it is there until the system lets go of it, which may never be. Who asked waits
 * for that.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control.h"
#include "devices.h"
#include "machine.h"
#include "sandbox.h"
#include "tool.h"

#define NOT_LISTENING \
	"its system does not listen to hot-plug: it has no ACPI, or has not got that far yet"

static const struct device_kind *const kinds[] = {
	&net_kind, &rng_kind, &vsock_kind, &disk_kind, &balloon_kind, &console_kind,
	&share_kind,
};

/**
 * device_kind() - find a kind of devices
 * @option: its name
 *
 * Return: the kind, or NULL with a message.
 */
const struct device_kind *device_kind(const char *option)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (!strcmp(kinds[i]->option, option))
			return kinds[i];
	}
	fail("there is no kind of device '%s': there are disk, net, share, vsock, rng, balloon and console", option);
	return NULL;
}

static bool opens(const struct device_kind *kind, const void *config)
{
	return kind->open && (!kind->opens || kind->opens(config));
}

/**
 * device_open() - open what a device is made of
 * @kind: its kind
 * @config: what the kind made of the user's words
 * @fd: set to the descriptor; -1: there is no such thing
 *
 * Return: 0, or -1 with a message.
 */
int device_open(const struct device_kind *kind, const void *config, int *fd)
{
	*fd = -1;
	if (!opens(kind, config))
		return 0;
	*fd = kind->open(config);
	return *fd < 0 ? -1 : 0;
}

/**
 * device_node() - open the other device of the host that a device does better with
 * @kind: its kind
 * @config: what the kind made of the user's words
 *
 * Return: the descriptor, or -1: there is no such thing, or it cannot be had.
 */
int device_node(const struct device_kind *kind, const void *config)
{
	return kind->node && opens(kind, config) ? open(kind->node, O_RDWR | O_CLOEXEC) : -1;
}

/* What it needs that the sandbox does not let through. */
static unsigned int lacks(const struct device_kind *kind, const void *config)
{
	return kind->needs ? kind->needs(config) & ~sandbox_allows() : 0;
}

/**
 * devices_prepare() - open all that was asked for, before this process shuts itself in
 * @config: what was asked for
 * @needs: SANDBOX_* that they need are added
 *
 * Return: 0, or -1 with a message.
 */
int devices_prepare(struct machine_config *config, unsigned int *needs)
{
	struct device_spec *spec;
	unsigned int i;
	int node;

	for (spec = config->devices; spec < config->devices + config->nr_devices; spec++) {
		if (device_open(spec->kind, spec->config, &spec->fd))
			return -1;
		node = device_node(spec->kind, spec->config);
		if (node >= 0)
			hold_add(spec->kind->node, O_RDWR, node);
		if (spec->kind->needs)
			*needs |= spec->kind->needs(spec->config);
	}
	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (kinds[i]->prepare && kinds[i]->prepare(*needs))
			return -1;
	}
	return 0;
}

static int find(const struct machine_config *config, const char *name)
{
	unsigned int i;

	for (i = 0; i < config->nr_devices; i++) {
		if (!strcmp(config->devices[i].name, name))
			return (int)i;
	}
	return -1;
}

/**
 * device_ask_for() - add a device to what the user asked for; it gets a name
 * @config: the rest of that
 * @kind: its kind
 * @text: how the user wants it; may be NULL
 * @fd: what kind->open() gave to who asks, or -1; taken by a success
 *
 * Return: 0, or -1 with a message.
 */
int device_ask_for(struct machine_config *config, const struct device_kind *kind, const char *text,
		   int fd)
{
	struct device_spec *spec = &config->devices[config->nr_devices];
	char name[sizeof(spec->name)];
	unsigned int number = 0;

	if (config->nr_devices == MAX_DEVICES)
		return fail("there is no place for more than %d devices", MAX_DEVICES);
	do
		snprintf(name, sizeof(name), "%.8s%u", kind->option, number++);
	while (find(config, name) >= 0);
	spec->config = kind->parse(text);
	if (!spec->config)
		return -1;
	memcpy(spec->name, name, sizeof(name));
	spec->kind = kind;
	spec->fd = fd;
	spec->asker = 0;
	config->nr_devices++;
	return 0;
}

static void forget(struct machine_config *config, unsigned int i)
{
	struct device_spec *spec = &config->devices[i];

	if (spec->kind->node && opens(spec->kind, spec->config))
		hold_drop(spec->kind->node);
	free(spec->config);
	if (spec->fd >= 0)
		close(spec->fd);
	config->nr_devices--;
	memmove(spec, spec + 1, (config->nr_devices - i) * sizeof(*spec));
}

/* Make the first device that is asked for and not there. */
static int create(struct machine *m)
{
	struct device_spec *spec = &m->config->devices[m->nr_devices];
	struct virtio *v;
	int fd = -1;

	spec->asker = 0;	/* one of an earlier machine */
	if (spec->fd >= 0) {
		fd = fcntl(spec->fd, F_DUPFD_CLOEXEC, 0);
		if (fd < 0)
			return fail_errno("cannot have %s", spec->name);
	} else if (device_open(spec->kind, spec->config, &fd)) {
		return -1;
	}
	v = virtio_new(spec->kind, m, spec->config, fd);
	if (!v)
		return -1;
	memcpy(v->name, spec->name, sizeof(spec->name));
	m->devices[m->nr_devices++] = v;
	return 0;
}

/**
 * devices_create() - at power-on, make what was asked for
 * @m: the machine
 *
 * Return: 0, or -1 with a message.
 */
int devices_create(struct machine *m)
{
	while (m->nr_devices < m->config->nr_devices) {
		if (create(m))
			return -1;
	}
	return 0;
}

/* Device @i goes, from the machine and from what was asked for. */
static void take_out(struct machine *m, unsigned int i)
{
	uint64_t asker = m->config->devices[i].asker;

	virtio_free(m->devices[i]);
	m->nr_devices--;
	memmove(&m->devices[i], &m->devices[i + 1], (m->nr_devices - i) * sizeof(m->devices[0]));
	forget(m->config, i);
	if (asker)
		control_answer(asker, NULL, "");
}

/**
 * machine_ejected() - the guest's system has let go of a device; io_lock is held
 * @m: the machine
 * @slot: the place
 */
void machine_ejected(struct machine *m, unsigned int slot)
{
	unsigned int i;

	pci_keep_free(m->pci, slot, false);
	for (i = 0; i < m->nr_devices; i++) {
		if (m->devices[i]->pci.slot != slot)
			continue;
		if (!m->config->devices[i].asker)
			note("%s: %s was ejected by its system", m->config->name, m->devices[i]->name);
		take_out(m, i);
		return;
	}
}

static void print_place(const struct virtio *v, char *text, size_t size)
{
	snprintf(text, size, "00:%02x.0", v->pci.slot);
}

static const char *attach(struct machine *m, const struct device_kind *kind, const char *spec, int fd)
{
	const struct device_spec *asked = &m->config->devices[m->config->nr_devices];

	if (device_ask_for(m->config, kind, spec, fd)) {
		if (fd >= 0)
			close(fd);
		return fail_text();
	}
	/* Here nothing is opened with this process's rights for others. */
	if (opens(kind, asked->config) != (fd >= 0))
		fail("the descriptor of the device is missing, or too much");
	else if (lacks(kind, asked->config))
		fail("its sandbox has no room for such a device: start it with one, or with --sandbox=on,%s",
		     lacks(kind, asked->config) & SANDBOX_FILES ? "share" : "net");
	else if (!create(m))
		return NULL;
	forget(m->config, m->config->nr_devices - 1);
	return fail_text();
}

/**
 * device_attach() - attach a device
 * @m: the machine
 * @what: its kind, and after a blank how the user wants it
 * @fds: came along, @nr_fds of them; stay the caller's
 * @nr_fds: how many
 * @started: the guest has been started, and has to be told
 * @text: of @size bytes: what the device is called now, and its place
 *
 * Return: NULL, or why not.
 */
const char *device_attach(struct machine *m, const char *what, const int *fds, unsigned int nr_fds,
			  bool started, char *text, size_t size)
{
	size_t len = strcspn(what, " ");
	const struct device_kind *kind;
	const char *why;
	char option[16], place[16];
	int own = -1, node = -1;

	snprintf(option, sizeof(option), "%.*s", (int)len, what);
	kind = device_kind(option);
	if (!kind)
		return fail_text();
	if (started && !acpi_pm_listens(m->pm))
		return NOT_LISTENING;
	if (nr_fds)
		own = fcntl(fds[0], F_DUPFD_CLOEXEC, 0);
	if (nr_fds && own < 0)
		return "too many open files";
	pthread_mutex_lock(&m->io_lock);
	if (nr_fds > 1 && kind->node)
		node = fcntl(fds[1], F_DUPFD_CLOEXEC, 0);
	if (node >= 0)
		hold_add(kind->node, O_RDWR, node);
	why = attach(m, kind, what[len] ? what + len + 1 : NULL, own);
	if (!why) {
		const struct virtio *v = m->devices[m->nr_devices - 1];

		print_place(v, place, sizeof(place));
		snprintf(text, size, "%s at %s", v->name, place);
		if (started)
			hotplug_came(m->hotplug, v->pci.slot);
	}
	pthread_mutex_unlock(&m->io_lock);
	return why;
}

static const char *no_such(const char *name)
{
	fail("it has no device '%s': 'lamina show' names those it has", name);
	return fail_text();
}

/**
 * device_detach() - ask the guest's system to let go of a device
 * @m: the machine, which has been started
 * @name: the device
 * @id: of the request, which is answered once the device is gone
 * @later: set if that will be so
 *
 * Return: NULL, or why not.
 */
const char *device_detach(struct machine *m, const char *name, uint64_t id, bool *later)
{
	const char *why = NULL;
	int i;

	pthread_mutex_lock(&m->io_lock);
	i = find(m->config, name);
	if (i < 0) {
		why = no_such(name);
	} else if (!acpi_pm_listens(m->pm)) {
		why = NOT_LISTENING "; 'lamina detach --force' pulls the device out";
	} else {
		/* Who asked before has most likely given up. */
		m->config->devices[i].asker = id;
		hotplug_want(m->hotplug, m->devices[i]->pci.slot);
		*later = true;
	}
	pthread_mutex_unlock(&m->io_lock);
	return why;
}

/**
 * device_remove() - take a device away at once
 * @m: the machine
 * @name: the device
 * @started: the guest has been started: it is told afterwards
 *
 * Return: NULL, or why not.
 */
const char *device_remove(struct machine *m, const char *name, bool started)
{
	const char *why = NULL;
	unsigned int slot;
	int i;

	pthread_mutex_lock(&m->io_lock);
	i = find(m->config, name);
	if (i < 0) {
		why = no_such(name);
	} else {
		slot = m->devices[i]->pci.slot;
		take_out(m, (unsigned int)i);
		/* Until it lets go of it, the guest's system would take another device there for this one. */
		pci_keep_free(m->pci, slot, started);
		if (started)
			hotplug_want(m->hotplug, slot);
	}
	pthread_mutex_unlock(&m->io_lock);
	return why;
}

/**
 * device_balloon() - ask the guest to keep so much memory
 * @m: the machine
 * @bytes: how much, in decimal
 *
 * Return: NULL, or why not.
 */
const char *device_balloon(struct machine *m, const char *bytes)
{
	unsigned long memory;
	const char *why;

	if (parse_number(bytes, 0, ~0ul, &memory))
		return fail_text();
	pthread_mutex_lock(&m->io_lock);
	why = balloon_set(m, memory);
	pthread_mutex_unlock(&m->io_lock);
	return why;
}

static const char *state_of(const struct virtio *v, const struct device_spec *spec)
{
	if (spec->asker)
		return "detaching";
	if (v->status & VIRTIO_CONFIG_S_NEEDS_RESET)
		return "needs reset";
	return v->running ? "running" : "no driver";
}

static void describe(const struct virtio *v, const struct device_spec *spec, FILE *out)
{
	char place[16];

	print_place(v, place, sizeof(place));
	fprintf(out, "id=%s\nkind=%s\naddress=%s\nstate=%s\nqueues=%u\n", spec->name,
		spec->kind->option, place, state_of(v, spec), v->nr_queues);
	if (v->ops->describe)
		v->ops->describe(v, out);
}

/**
 * device_describe() - tell of one device, a line for each thing
 * @m: the machine
 * @number: which, from 0 on
 * @text: of @size bytes: KEY=VALUE lines; empty if there are not so many
 *
 * Return: NULL, or why not.
 */
const char *device_describe(struct machine *m, const char *number, char *text, size_t size)
{
	unsigned long i;
	FILE *out;

	text[0] = '\0';
	if (parse_number(number, 0, MAX_DEVICES, &i))
		return fail_text();
	pthread_mutex_lock(&m->io_lock);
	out = i < m->nr_devices ? fmemopen(text, size, "w") : NULL;
	if (out) {
		describe(m->devices[i], &m->config->devices[i], out);
		fclose(out);
		text[size - 1] = '\0';
	}
	pthread_mutex_unlock(&m->io_lock);
	return NULL;
}

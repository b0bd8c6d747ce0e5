// SPDX-License-Identifier: GPL-2.0-only
/*
 * The verbs that change a running guest's devices: attach, detach, balloon. What a device is made of is opened here,
 * with the rights and from the place of who asks, and its descriptor goes to the process that runs the guest.
 */
#include <argp.h>
#include <errno.h>
#include <linux/lamina.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control.h"
#include "devices.h"
#include "machine.h"
#include "tool.h"

#define DETACH_SECONDS 30
#define MOST_SECONDS (LAMINA_MAX_TIMEOUT_MS / 1000)

enum {
	KEY_DEVICE = 0x100,
	KEY_TIMEOUT,
	KEY_FORCE,
};

/**
 * struct change_args - the command line
 * @device: the hypervisor
 * @words: NAME KIND [HOW], or NAME DEVICE, or NAME SIZE
 * @count: how many, up to @most
 * @second: what is said where the second one is missing
 */
struct change_args {
	const char *device;
	const char *words[3];
	unsigned int count, most;
	const char *second;
	unsigned long timeout;
	bool force;
};

static const struct argp_option options[] = {
	DEVICE_OPTION(KEY_DEVICE),
	{ 0 },
};

static const struct argp_option detach_options[] = {
	{ "timeout", KEY_TIMEOUT, "SECONDS", 0, "How long to wait for the guest's system (default: 30)", 0 },
	{ "force", KEY_FORCE, NULL, 0, "Pull the device out at once, and tell the guest's system after it", 0 },
	DEVICE_OPTION(KEY_DEVICE),
	{ 0 },
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct change_args *args = state->input;

	switch (key) {
	case KEY_DEVICE:
		args->device = arg;
		break;
	case KEY_TIMEOUT:
		if (parse_number(arg, 1, MOST_SECONDS, &args->timeout))
			argp_error(state, "--timeout: %s", fail_text());
		break;
	case KEY_FORCE:
		args->force = true;
		break;
	case ARGP_KEY_ARG:
		if (args->count == args->most)
			argp_error(state, "'%s' is too much: one device at a time", arg);
		args->words[args->count++] = arg;
		break;
	case ARGP_KEY_END:
		if (!args->count)
			argp_error(state, "which guest? 'lamina list' names them");
		if (args->count == 1)
			argp_error(state, args->second, args->words[0]);
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static int attach(const struct change_args *args, const struct device_kind *kind, const void *config)
{
	char request[LAMINA_DATA_BYTES], answer[LAMINA_DATA_BYTES];
	int handle, fd, node, err;

	if ((size_t)snprintf(request, sizeof(request), ASK_ATTACH "%s%s%s", kind->option,
			     args->words[2] ? " " : "", args->words[2] ? args->words[2] : "") >=
	    sizeof(request))
		return fail("that is too long: go to where the file is, and give a shorter path");
	handle = guest_open(args->device, args->words[0]);
	if (handle < 0)
		return -1;
	err = device_open(kind, config, &fd);
	node = err ? -1 : device_node(kind, config);
	if (!err)
		err = guest_call(handle, args->words[0], request, fd, node, 0, answer, sizeof(answer));
	if (fd >= 0)
		close(fd);
	if (node >= 0)
		close(node);
	close(handle);
	if (!err)
		puts(answer);
	return err;
}

/** cmd_attach() - the verb */
int cmd_attach(int argc, char **argv)
{
	static const struct argp argp = {
		.options = options, .parser = parse,
		.args_doc = "NAME disk FILE[,ro][,direct][,split][,serial=S]\n"
			    "NAME net tap=NAME[,bridge=NAME][,mac=ADDRESS]\n"
			    "NAME net user[,mac=ADDRESS][,forward=tcp:PORT:PORT]\n"
			    "NAME share DIRECTORY:TAG[,ro]\n"
			    "NAME vsock CID\n"
			    "NAME rng\n"
			    "NAME balloon\n"
			    "NAME console virtio",
		.doc = "Attach a device to a guest while it runs, and print what it is called.\v"
		       "The words mean what they do as options of 'lamina run'. The device stays until it is detached or "
		       "the guest ends, also when the guest starts again.\n\n"
		       "Exit status: 0 it is attached; 1 no such guest, or it refused; 2 usage.",
	};
	struct change_args args = {
		.device = default_device(), .most = 3,
		.second = "what? As in 'lamina attach %s disk FILE'",
	};
	const struct device_kind *kind;
	void *config;
	int err;

	argp_parse(&argp, argc, argv, 0, NULL, &args);
	kind = device_kind(args.words[1]);
	config = kind ? kind->parse(args.words[2]) : NULL;
	if (!config) {
		fprintf(stderr, "lamina attach: %s\n", fail_text());
		return LM_EXIT_USAGE;
	}
	err = attach(&args, kind, config);
	free(config);
	return err ? complain() : LM_EXIT_OK;
}

static int detach(const struct change_args *args)
{
	const char *name = args->words[0], *device = args->words[1];
	char request[LAMINA_DATA_BYTES];
	int handle, err;

	if ((size_t)snprintf(request, sizeof(request), "%s%s", args->force ? ASK_REMOVE : ASK_DETACH,
			     device) >= sizeof(request))
		return fail("'%.20s...' is not the name of a device", device);
	handle = guest_open(args->device, name);
	if (handle < 0)
		return -1;
	err = guest_call(handle, name, request, -1, -1,
			 args->force ? 0 : (unsigned int)args->timeout * 1000, NULL, 0);
	if (err && errno == ETIMEDOUT && !args->force)
		fail("%s: its system has not let go of %s within %lu s: it may be busy or not know hot-plug, and may still do so; 'lamina detach --force %s %s' pulls the device out",
		     name, device, args->timeout, name, device);
	close(handle);
	return err;
}

/** cmd_detach() - the verb */
int cmd_detach(int argc, char **argv)
{
	static const struct argp argp = {
		.options = detach_options, .parser = parse, .args_doc = "NAME DEVICE",
		.doc = "Take a device away from a guest while it runs: ask the guest's system to let go of it, and wait for that.\v"
		       "'lamina show' names the devices. With --force what the guest had not written is lost, as when a "
		       "cable is pulled.\n\n"
		       "Exit status: 0 it is gone; 1 no such guest or device, or it was not let go in time; 2 usage.",
	};
	struct change_args args = {
		.device = default_device(), .most = 2, .timeout = DETACH_SECONDS,
		.second = "which device? 'lamina show %s' names them",
	};

	argp_parse(&argp, argc, argv, 0, NULL, &args);
	return detach(&args) ? complain() : LM_EXIT_OK;
}

static int too_little(uint64_t memory)
{
	return memory < LEAST_MEMORY ? fail("too little: a guest keeps 16M at least") : 0;
}

/** cmd_balloon() - the verb */
int cmd_balloon(int argc, char **argv)
{
	static const struct argp argp = {
		.options = options, .parser = parse, .args_doc = "NAME SIZE",
		.doc = "Ask a guest to make do with SIZE of its memory and to give the rest back, or to take it again.\v"
		       "SIZE has K, M, G or T; MiB without. The guest needs a balloon (--balloon) and takes its time: "
		       "'lamina show' tells how far it is. A guest that runs out of memory takes from its balloon.\n\n"
		       "Exit status: 0 it was asked; 1 no such guest, or it refused; 2 usage.",
	};
	struct change_args args = {
		.device = default_device(), .most = 2,
		.second = "how much memory shall '%s' keep? Give for example 256M",
	};
	char request[64];
	uint64_t memory;
	int handle, err;

	argp_parse(&argp, argc, argv, 0, NULL, &args);
	if (parse_size(args.words[1], &memory) || too_little(memory)) {
		fprintf(stderr, "lamina balloon: %s\n", fail_text());
		return LM_EXIT_USAGE;
	}
	handle = guest_open(args.device, args.words[0]);
	if (handle < 0)
		return complain();
	snprintf(request, sizeof(request), ASK_BALLOON "%llu", (unsigned long long)memory);
	err = guest_ask(handle, args.words[0], request, -1);
	close(handle);
	return err ? complain() : LM_EXIT_OK;
}

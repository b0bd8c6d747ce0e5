// SPDX-License-Identifier: GPL-2.0-only
/*
 * The verbs that only look: list, show, events. They ask the module's netlink family, which tells everyone
 * of their own guests and root of all.
 */
#include <argp.h>
#include <dlfcn.h>
#include <errno.h>
#include <json-c/json.h>
#include <linux/lamina.h>
#include <netlink/genl/ctrl.h>
#include <netlink/genl/genl.h>
#include <netlink/netlink.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control.h"
#include "tool.h"

enum {
	KEY_JSON = 0x100,
	KEY_COUNT,
};

static const char *const state_names[] = { "created", "running", "paused", "stopped", "crashed" };
static const char *const event_names[] = {
	"?", "created", "named", "running", "paused", "stopped", "crashed", "gone",
};

/* The counters, in the order of the attributes. */
static const char *const counters[] = {
	"exits", "user_exits", "halts", "irqs", "nmis", "faults", "flushes", "table_pages",
};

_Static_assert(LAMINA_A_TABLE_PAGES - LAMINA_A_EXITS + 1 == ARRAY_SIZE(counters), "counters");

/**
 * struct guest - what one message tells
 * @id: number
 * @name: empty without one
 * @reason: likewise
 * @pid: its owner
 * @uid: the owner's user
 * @state: LAMINA_STATE_*
 * @event: LAMINA_EVENT_*
 * @vcpus: their number
 * @memory: bytes
 * @uptime: ms
 * @count: the counters
 */
struct guest {
	uint64_t id;
	char name[LAMINA_NAME_BYTES];
	char reason[LAMINA_NAME_BYTES];
	uint32_t pid, uid, state, event, vcpus;
	uint64_t memory, uptime;
	uint64_t count[ARRAY_SIZE(counters)];
};

/*
 * libnl is opened by the verbs that need it: a tool that runs a guest need not hold it in memory.
 * (libnl-genl brings libnl along.)
 */
static struct {
	void *library;
	__typeof__(&nl_socket_alloc) socket_alloc;
	__typeof__(&nl_socket_free) socket_free;
	__typeof__(&nl_socket_modify_cb) modify_cb;
	__typeof__(&nl_socket_disable_seq_check) disable_seq_check;
	__typeof__(&nl_socket_add_membership) add_membership;
	__typeof__(&nl_recvmsgs_default) recvmsgs;
	__typeof__(&nl_geterror) geterror;
	__typeof__(&nlmsg_hdr) hdr;
	__typeof__(&nla_get_u32) get_u32;
	__typeof__(&nla_get_u64) get_u64;
	__typeof__(&nla_strlcpy) strlcpy;
	__typeof__(&genl_connect) connect;
	__typeof__(&genl_ctrl_resolve) resolve;
	__typeof__(&genl_ctrl_resolve_grp) resolve_grp;
	__typeof__(&genl_send_simple) send_simple;
	__typeof__(&genlmsg_parse) parse;
} nl;

static const struct symbol nl_symbols[] = {
	{ "nl_socket_alloc", &nl.socket_alloc },
	{ "nl_socket_free", &nl.socket_free },
	{ "nl_socket_modify_cb", &nl.modify_cb },
	{ "nl_socket_disable_seq_check", &nl.disable_seq_check },
	{ "nl_socket_add_membership", &nl.add_membership },
	{ "nl_recvmsgs_default", &nl.recvmsgs },
	{ "nl_geterror", &nl.geterror },
	{ "nlmsg_hdr", &nl.hdr },
	{ "nla_get_u32", &nl.get_u32 },
	{ "nla_get_u64", &nl.get_u64 },
	{ "nla_strlcpy", &nl.strlcpy },
	{ "genl_connect", &nl.connect },
	{ "genl_ctrl_resolve", &nl.resolve },
	{ "genl_ctrl_resolve_grp", &nl.resolve_grp },
	{ "genl_send_simple", &nl.send_simple },
	{ "genlmsg_parse", &nl.parse },
};

struct look_args {
	bool json;
	bool one;		/* show: of which guest? */
	const char *name;
	unsigned long count;	/* events: how many, 0 for ever */
};

/* What the netlink callback does with each guest. */
struct look {
	void (*each)(const struct guest *g, void *arg);
	void *arg;
};

/* ---- netlink ---- */

static int open_library(void)
{
	nl.library = dlopen("libnl-genl-3.so.200", RTLD_NOW);
	if (!nl.library)
		return fail("libnl-genl does not open (%s): install it with 'sudo apt-get install libnl-genl-3-200'",
			    dlerror());
	return resolve(nl.library, "libnl", nl_symbols, ARRAY_SIZE(nl_symbols));
}

static uint32_t get_u32(struct nlattr *const *attrs, int attr)
{
	return attrs[attr] ? nl.get_u32(attrs[attr]) : 0;
}

static uint64_t get_u64(struct nlattr *const *attrs, int attr)
{
	return attrs[attr] ? nl.get_u64(attrs[attr]) : 0;
}

static void get_text(char *text, struct nlattr *attr)
{
	if (attr)
		nl.strlcpy(text, attr, LAMINA_NAME_BYTES);
}

static int on_message(struct nl_msg *msg, void *arg)
{
	struct nlattr *attrs[LAMINA_A_MAX + 1];
	const struct look *look = arg;
	struct guest g = { 0 };
	unsigned int i;

	if (nl.parse(nl.hdr(msg), 0, attrs, LAMINA_A_MAX, NULL))
		return NL_SKIP;
	g.id = get_u64(attrs, LAMINA_A_ID);
	g.pid = get_u32(attrs, LAMINA_A_PID);
	g.uid = get_u32(attrs, LAMINA_A_UID);
	g.state = get_u32(attrs, LAMINA_A_STATE);
	g.event = get_u32(attrs, LAMINA_A_EVENT);
	g.vcpus = get_u32(attrs, LAMINA_A_VCPUS);
	g.memory = get_u64(attrs, LAMINA_A_MEMORY);
	g.uptime = get_u64(attrs, LAMINA_A_UPTIME);
	get_text(g.name, attrs[LAMINA_A_NAME]);
	get_text(g.reason, attrs[LAMINA_A_REASON]);
	for (i = 0; i < ARRAY_SIZE(counters); i++)
		g.count[i] = get_u64(attrs, LAMINA_A_EXITS + (int)i);
	look->each(&g, look->arg);
	return NL_OK;
}

static struct nl_sock *open_family(struct look *look, int *family)
{
	struct nl_sock *sock;

	if (open_library())
		return NULL;
	sock = nl.socket_alloc();
	if (!sock || nl.connect(sock)) {
		fail("cannot open a netlink socket");
		goto err;
	}
	*family = nl.resolve(sock, LAMINA_GENL_NAME);
	if (*family < 0) {
		fail("the module is not loaded (or an older one): 'sudo lamina load' loads it");
		goto err;
	}
	nl.modify_cb(sock, NL_CB_VALID, NL_CB_CUSTOM, on_message, look);
	return sock;
err:
	nl.socket_free(sock);
	return NULL;
}

/* Call @each for every guest: 0, or -1 with a message. */
static int look_at_all(void (*each)(const struct guest *g, void *arg), void *arg)
{
	struct look look = { .each = each, .arg = arg };
	int family, err;
	struct nl_sock *sock = open_family(&look, &family);

	if (!sock)
		return -1;
	err = nl.send_simple(sock, family, LAMINA_CMD_GET, LAMINA_GENL_VERSION, NLM_F_DUMP);
	if (err >= 0)
		err = nl.recvmsgs(sock);
	nl.socket_free(sock);
	return err < 0 ? fail("cannot ask the module for its guests: %s", nl.geterror(err)) : 0;
}

/* ---- text and JSON ---- */

static const char *state_name(const struct guest *g)
{
	return g->state < ARRAY_SIZE(state_names) ? state_names[g->state] : "?";
}

static const char *event_name(const struct guest *g)
{
	return g->event < ARRAY_SIZE(event_names) ? event_names[g->event] : "?";
}

/* Its name, or the number by which it can be asked for. */
static const char *label(const struct guest *g, char *text, size_t size)
{
	if (g->name[0])
		return g->name;
	snprintf(text, size, "#%llu", (unsigned long long)g->id);
	return text;
}

static const char *user_name(uint32_t uid)
{
	static char number[16];
	const struct passwd *user = getpwuid(uid);

	snprintf(number, sizeof(number), "%u", uid);
	return user ? user->pw_name : number;
}

static const char *duration(uint64_t ms, char *text, size_t size)
{
	unsigned long long s = ms / 1000;

	snprintf(text, size, "%llu:%02llu:%02llu", s / 3600, s / 60 % 60, s % 60);
	return text;
}

static void add_u64(struct json_object *o, const char *key, uint64_t value)
{
	json_object_object_add(o, key, json_object_new_int64((int64_t)value));
}

static void add_text(struct json_object *o, const char *key, const char *text)
{
	json_object_object_add(o, key, text[0] ? json_object_new_string(text) : NULL);
}

static struct json_object *to_json(const struct guest *g)
{
	struct json_object *o = json_object_new_object(), *c;
	unsigned int i;

	if (g->event)
		add_text(o, "event", event_name(g));
	add_u64(o, "id", g->id);
	add_text(o, "name", g->name);
	add_text(o, "state", state_name(g));
	add_text(o, "reason", g->reason);
	add_u64(o, "pid", g->pid);
	add_u64(o, "uid", g->uid);
	if (g->event)
		return o;
	add_u64(o, "vcpus", g->vcpus);
	add_u64(o, "memory", g->memory);
	add_u64(o, "uptime_ms", g->uptime);
	c = json_object_new_object();
	for (i = 0; i < ARRAY_SIZE(counters); i++)
		add_u64(c, counters[i], g->count[i]);
	json_object_object_add(o, "counters", c);
	return o;
}

static void print_json(struct json_object *o, int flags)
{
	puts(json_object_to_json_string_ext(o, flags));
	json_object_put(o);
}

static void list_text(const struct guest *g, void *first)
{
	char name[LAMINA_NAME_BYTES], time[32];

	if (*(bool *)first)
		printf("%-20s %-8s %4s %9s %10s %7s %s\n", "NAME", "STATE", "CPUS", "MEMORY",
		       "UPTIME", "PID", "USER");
	*(bool *)first = false;
	printf("%-20s %-8s %4u %8lluM %10s %7u %s\n", label(g, name, sizeof(name)), state_name(g),
	       g->vcpus, (unsigned long long)g->memory >> 20, duration(g->uptime, time, sizeof(time)),
	       g->pid, user_name(g->uid));
}

static void list_json(const struct guest *g, void *array)
{
	json_object_array_add(array, to_json(g));
}

static void show_text(const struct guest *g)
{
	char name[LAMINA_NAME_BYTES], time[32];
	unsigned int i;

	printf("name         %s\n", label(g, name, sizeof(name)));
	printf("id           %llu\n", (unsigned long long)g->id);
	printf("state        %s\n", state_name(g));
	if (g->reason[0])
		printf("reason       %s\n", g->reason);
	printf("owner        %u (%s)\n", g->pid, user_name(g->uid));
	printf("vcpus        %u\n", g->vcpus);
	printf("memory       %lluM\n", (unsigned long long)g->memory >> 20);
	printf("uptime       %s\n", duration(g->uptime, time, sizeof(time)));
	for (i = 0; i < ARRAY_SIZE(counters); i++)
		printf("%-12s %llu\n", counters[i], (unsigned long long)g->count[i]);
}

/* ---- one guest ---- */

struct wanted {
	const char *name;
	bool found;
	struct guest guest;
};

static void find(const struct guest *g, void *arg)
{
	struct wanted *w = arg;
	char number[32];

	snprintf(number, sizeof(number), "#%llu", (unsigned long long)g->id);
	/* A name is one of the user's own guests, as for the verbs that open it; a number is anybody's. */
	if (strcmp(w->name, number) &&
	    (!g->name[0] || g->uid != geteuid() || strcmp(w->name, g->name)))
		return;
	w->found = true;
	w->guest = *g;
}

/**
 * guest_owner() - who owns a guest
 * @name: its name, or '#' and its number
 *
 * Return: the process, or -1.
 */
int guest_owner(const char *name)
{
	struct wanted w = { .name = name };

	if (look_at_all(find, &w) || !w.found)
		return -1;
	return (int)w.guest.pid;
}

/* ---- its devices, which its owner knows ---- */

/* Call @each for every KEY=VALUE line; what the owner could not finish is left out. */
static void for_lines(char *text, void (*each)(const char *key, const char *value, void *arg), void *arg)
{
	char *line, *end, *value;

	for (line = text; (end = strchr(line, '\n')); line = end + 1) {
		*end = '\0';
		value = strchr(line, '=');
		if (!value)
			continue;
		*value = '\0';
		each(line, value + 1, arg);
	}
}

static void device_text(const char *key, const char *value, void *arg)
{
	bool *first = arg;

	if (*first)
		printf("device       %s", value);
	else
		printf(" %s=%s", key, value);
	*first = false;
}

static void device_json(const char *key, const char *value, void *object)
{
	static const char *const words[] = { "id", "kind", "address", "state", "file", "tap", "mac",
					     "carried_by" };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(words); i++) {
		if (!strcmp(words[i], key)) {
			add_text(object, key, value);
			return;
		}
	}
	add_u64(object, key, strtoull(value, NULL, 10));
}

/* Ask for one device after the other: as text, or into @array. An owner that is not this tool has none. */
static void show_devices(const char *name, struct json_object *array)
{
	char request[32], answer[LAMINA_DATA_BYTES];
	int handle = guest_open(default_device(), name);
	struct json_object *o;
	unsigned int i;
	bool first;

	for (i = 0; handle >= 0; i++) {
		snprintf(request, sizeof(request), ASK_DEVICE "%u", i);
		if (guest_call(handle, name, request, -1, -1, 0, answer, sizeof(answer)) || !answer[0])
			break;
		if (array) {
			o = json_object_new_object();
			for_lines(answer, device_json, o);
			json_object_array_add(array, o);
		} else {
			first = true;
			for_lines(answer, device_text, &first);
			putchar('\n');
		}
	}
	if (handle >= 0)
		close(handle);
}

/* ---- the verbs ---- */

static const struct argp_option json_option[] = {
	{ "json", KEY_JSON, NULL, 0, "Print JSON", 0 },
	{ 0 },
};

static const struct argp_option event_options[] = {
	{ "json", KEY_JSON, NULL, 0, "Print a JSON object a line", 0 },
	{ "count", KEY_COUNT, "N", 0, "End after so many events (default: never)", 0 },
	{ 0 },
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct look_args *args = state->input;

	switch (key) {
	case KEY_JSON:
		args->json = true;
		break;
	case KEY_COUNT:
		if (parse_number(arg, 1, 1000000000, &args->count))
			argp_error(state, "--count: %s", fail_text());
		break;
	case ARGP_KEY_ARG:
		if (!args->one || args->name)
			argp_error(state, "'%s' is too much", arg);
		args->name = arg;
		break;
	case ARGP_KEY_END:
		if (args->one && !args->name)
			argp_error(state, "which guest? 'lamina list' names them");
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

/** cmd_list() - the verb */
int cmd_list(int argc, char **argv)
{
	static const struct argp argp = {
		.options = json_option, .parser = parse,
		.doc = "List the guests: one's own, or all for root.\v"
		       "A guest without a name is listed by its number, which stands for a name wherever one is asked for."
		       "\n\nExit status: 0; 1 the module could not be asked; 2 usage.",
	};
	struct look_args args = { 0 };
	struct json_object *array;
	bool first = true;

	argp_parse(&argp, argc, argv, 0, NULL, &args);
	if (!args.json)
		return look_at_all(list_text, &first) ? complain() : LM_EXIT_OK;
	array = json_object_new_array();
	if (look_at_all(list_json, array))
		return complain();
	print_json(array, JSON_C_TO_STRING_PRETTY);
	return LM_EXIT_OK;
}

/** cmd_show() - the verb */
int cmd_show(int argc, char **argv)
{
	static const struct argp argp = {
		.options = json_option, .parser = parse, .args_doc = "NAME",
		.doc = "Show one guest, its counters and its devices.\v"
		       "Exit status: 0; 1 no such guest, or the module could not be asked; 2 usage.",
	};
	struct look_args args = { .one = true };
	struct json_object *o, *devices;
	struct wanted w = { 0 };

	argp_parse(&argp, argc, argv, 0, NULL, &args);
	w.name = args.name;
	if (look_at_all(find, &w))
		return complain();
	if (!w.found) {
		fail("there is no guest '%s': 'lamina list' names those there are", args.name);
		return complain();
	}
	if (args.json) {
		o = to_json(&w.guest);
		devices = json_object_new_array();
		show_devices(args.name, devices);
		json_object_object_add(o, "devices", devices);
		print_json(o, JSON_C_TO_STRING_PRETTY);
	} else {
		show_text(&w.guest);
		show_devices(args.name, NULL);
	}
	return LM_EXIT_OK;
}

struct follow {
	bool json;
	unsigned long seen;
};

static void print_event(const struct guest *g, void *arg)
{
	char name[LAMINA_NAME_BYTES];
	struct follow *f = arg;

	f->seen++;
	if (f->json)
		print_json(to_json(g), JSON_C_TO_STRING_PLAIN);
	else
		printf("%-8s %s pid %u%s%s\n", event_name(g), label(g, name, sizeof(name)), g->pid,
		       g->reason[0] ? ": " : "", g->reason);
	fflush(stdout);
}

/** cmd_events() - the verb */
int cmd_events(int argc, char **argv)
{
	static const struct argp argp = {
		.options = event_options, .parser = parse,
		.doc = "Print what happens to guests, as it happens: created, named, running, paused, stopped, crashed, gone.\v"
		       "Exit status: 0 after --count events; 1 the module could not be asked; 2 usage.",
	};
	struct look_args args = { 0 };
	struct follow follow = { 0 };
	struct look look = { .each = print_event, .arg = &follow };
	struct nl_sock *sock;
	int family, group, err = 0;

	argp_parse(&argp, argc, argv, 0, NULL, &args);
	follow.json = args.json;
	sock = open_family(&look, &family);
	if (!sock)
		return complain();
	group = nl.resolve_grp(sock, LAMINA_GENL_NAME, LAMINA_GENL_EVENTS);
	nl.disable_seq_check(sock);
	if (group < 0 || nl.add_membership(sock, group)) {
		fail("cannot follow the module's events");
		return complain();
	}
	while (!args.count || follow.seen < args.count) {
		err = nl.recvmsgs(sock);
		if (err == -NLE_NOMEM)
			fputs("lamina: some events were lost\n", stderr);
		else if (err < 0 && err != -NLE_INTR)
			break;
	}
	nl.socket_free(sock);
	if (err >= 0 || (args.count && follow.seen >= args.count))
		return LM_EXIT_OK;
	fail("cannot follow the module's events: %s", nl.geterror(err));
	return complain();
}

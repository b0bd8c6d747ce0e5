// SPDX-License-Identifier: GPL-2.0-only
/*
 * lamina: the command line tool. One verb, one file.
 */
#include <argp.h>
#include <stdio.h>
#include <string.h>

#include "tool.h"

static int cmd_help(int argc, char **argv);
static int cmd_version(int argc, char **argv);

static const struct verb {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *what;
} verbs[] = {
	{ "run", cmd_run, "boot a kernel in a guest, its console on this terminal" },
	{ "create", cmd_create, "make a guest that 'start' starts, without a terminal" },
	{ "start", cmd_start, "start a guest that 'create' made" },
	{ "list", cmd_list, "the guests there are" },
	{ "show", cmd_show, "one guest, its counters and its devices" },
	{ "console", cmd_console, "attach to the console of a guest without a terminal" },
	{ "attach", cmd_attach, "give a running guest a device" },
	{ "detach", cmd_detach, "take a device away from a running guest" },
	{ "balloon", cmd_balloon, "ask a guest to give memory back, or to take it again" },
	{ "stop", cmd_stop, "press a guest's power button and wait for its end" },
	{ "pause", cmd_pause, "let a guest stand still" },
	{ "resume", cmd_resume, "let a paused guest go on" },
	{ "kill", cmd_kill, "end a guest at once" },
	{ "events", cmd_events, "what happens to guests, as it happens" },
	{ "check", cmd_check, "is this host fit to run guests?" },
	{ "load", cmd_load, "load the module" },
	{ "unload", cmd_unload, "unload the module" },
	{ "help", cmd_help, "this list, or the help of a verb" },
	{ "version", cmd_version, "the version" },
};

static const struct verb *find(const char *name)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(verbs); i++) {
		if (!strcmp(verbs[i].name, name))
			return &verbs[i];
	}
	return NULL;
}

static void usage(FILE *out)
{
	unsigned int i;

	fputs("Usage: lamina VERB [OPTION...]\n\n", out);
	for (i = 0; i < ARRAY_SIZE(verbs); i++)
		fprintf(out, "  %-8s %s\n", verbs[i].name, verbs[i].what);
	fputs("\n'lamina VERB --help' tells more about one; the manual is lamina(1).\n", out);
}

static int cmd_version(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	puts("lamina " LM_VERSION);
	return LM_EXIT_OK;
}

static int run_verb(const struct verb *verb, int argc, char **argv)
{
	char name[32];

	/* What --help and errors call the program. */
	snprintf(name, sizeof(name), "lamina %s", verb->name);
	argv[0] = name;
	return verb->run(argc, argv);
}

static int cmd_help(int argc, char **argv)
{
	char help[] = "--help";
	char *args[3] = { NULL, help, NULL };
	const struct verb *verb = argc > 1 ? find(argv[1]) : NULL;

	if (argc > 1 && !verb) {
		fprintf(stderr, "lamina: there is no verb '%s': see 'lamina help'\n", argv[1]);
		return LM_EXIT_USAGE;
	}
	if (verb && verb->run != cmd_help && verb->run != cmd_version)
		return run_verb(verb, 2, args);
	usage(stdout);
	return LM_EXIT_OK;
}

int main(int argc, char **argv)
{
	const struct verb *verb;

	argp_err_exit_status = LM_EXIT_USAGE;
	if (argc < 2) {
		usage(stderr);
		return LM_EXIT_USAGE;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))
		return cmd_help(1, argv);
	if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V"))
		return cmd_version(1, argv);
	verb = find(argv[1]);
	if (!verb) {
		fprintf(stderr, "lamina: there is no verb '%s': see 'lamina help'\n", argv[1]);
		return LM_EXIT_USAGE;
	}
	return run_verb(verb, argc - 1, argv + 1);
}

#include <stdlib.h>
#include <string.h>

#include "cli.h"

#define IMPORT_USAGE "FILE [--secrets DIR] [--domain D] [--state [--ids PATH]]"

static const struct cli_word words[] = {
	{ "run", "", "the service: collects on schedule, relays, delivers", cli_run },
	{ "once", "[--queue-only] [ACCOUNT...]",
			"collects once, delivers what is due, prints what became of it",
			cli_once },
	{ "check", "[--online]", "checks configuration and policies, names every fault",
			cli_check },
	{ "reload", "", "has the running service read its configuration again",
			cli_reload },
	{ "poll", "[ACCOUNT...]", "asks the running service to collect now", cli_poll },
	{ "status", "", "What runs, what waits, what takes room, and what to look at first.",
			cli_status },
	{ "accounts", "", "the accounts, their last poll and what waits there",
			cli_accounts },
	{ "accounts show", "NAME [--session]",
			"all that is known of one account; what its last sessions said",
			cli_accounts_show },
	{ "accounts adopt", "NAME",
			"takes all that is in its mailbox now as seen; nothing is collected",
			cli_accounts_adopt },
	{ "accounts resume", "NAME",
			"collects again from an account that is held because its first messages "
			"reached nobody",
			cli_accounts_resume },
	{ "accounts retry", "NAME [UIDL]",
			"tries a suspended logon now, and asks at once for messages that are set "
			"aside, or for one",
			cli_accounts_retry },
	{ "explain", "FILE|- --account NAME | --since 7d [--policy FILE]... [--account NAME]",
			"who would get a message, and why; or what of the last days would go "
			"elsewhere under changed rules",
			cli_explain },
	{ "trace", "ID", "all that is known of one message", cli_trace },
	{ "queue list", "[--domain D] [--status S] [--all]", "messages in the queue",
			cli_queue_list },
	{ "queue show", "ID", "one message: envelope, recipients, last replies",
			cli_queue_show },
	{ "queue retry", "[ID | --domain D]", "makes deferred mail due at once",
			cli_queue_retry },
	{ "unrouted list", "", "mail held because nobody was found",
			cli_unrouted_list },
	{ "unrouted show", "ID",
			"one of them: what its header says, and why nobody was found",
			cli_unrouted_show },
	{ "unrouted assign", "ID... RECIPIENT [--rule [--match TEXT]]",
			"gives them to somebody, with --rule also the next ones like them",
			cli_unrouted_assign },
	{ "unrouted rules", "", "the rules made by assign --rule", cli_unrouted_rules },
	{ "unrouted forget", "ACCOUNT MATCH", "takes such a rule back",
			cli_unrouted_forget },
	{ "badmail list", "", "messages that could not be delivered",
			cli_badmail_list },
	{ "badmail show", "ID", "one of them, and why", cli_badmail_show },
	{ "badmail replay", "ID... [--to ADDRESS] [--dry-run]",
			"queues them again for the recipients not yet served",
			cli_badmail_replay },
	{ "policy list", "", "the recipient policies", cli_policy_list },
	{ "policy show", "NAME", "one policy", cli_policy_show },
	{ "policy apply", "[--dry-run] [FILE...]",
			"puts policy files into the database, or tells what that would change",
			cli_policy_apply },
	{ "policy add", "DOMAIN [--policy NAME]", "makes a domain one of ours",
			cli_policy_add },
	{ "policy remove", "DOMAIN", "takes a domain out of all policies",
			cli_policy_remove },
	{ "policy test", "ADDRESS", "would the relay take it, and where would it go",
			cli_policy_test },
	{ "recipient list", "", "persons and lists, with their primary addresses",
			cli_recipient_list },
	{ "recipient show", "ALIAS|ADDRESS", "one of them, with all its addresses",
			cli_recipient_show },
	{ "recipient add",
			"ALIAS [--given G] [--surname S] [--display D] [--primary ADDRESS] "
			"[--group G]... [--member M]...",
			"adds one; of one that is there it changes what is named. One with members is a list",
			cli_recipient_add },
	{ "recipient set",
			"ALIAS [--given G] [--surname S] [--display D] [--primary ADDRESS] "
			"[--group G]... [--member M]...",
			"changes what is named of one that is there; an empty value clears it",
			cli_recipient_set },
	{ "recipient remove", "ALIAS", "takes one out", cli_recipient_remove },
	{ "recipient import", "FILE.csv [--dry-run]",
			"adds or replaces those of a file, all or none of them; says whose mail goes "
			"elsewhere",
			cli_recipient_import },
	{ "events", "[--follow] [--id N] [--account A] [--since T] [--level L]",
			"what happened", cli_events },
	{ "events explain", "N", "what an event means and what to do",
			cli_events_explain },
	{ "events catalog", "", "all events", cli_events_catalog },
	{ "import fetchmailrc", IMPORT_USAGE,
			"the accounts of fetchmail, as they are said here",
			cli_import_fetchmailrc },
	{ "import getmailrc", IMPORT_USAGE,
			"the account of getmail, as it is said here",
			cli_import_getmailrc },
	{ "import mpoprc", IMPORT_USAGE, "the accounts of mpop, as they are said here",
			cli_import_mpoprc },
	{ "config schema", "", "the JSON Schema of the configuration",
			cli_config_schema },
	{ "config defaults", "", "every setting with its default",
			cli_config_defaults },
};

enum { WORDS = sizeof(words) / sizeof(words[0]) };

static void
print_usage(FILE *f, const char *group)
{
	size_t n = strlen(group);

	(void)fputs("Usage: postern [-c FILE] [--json] WORD ...\n\n", f);
	for (size_t i = 0; i < WORDS; i++) {
		if (strncmp(words[i].name, group, n) != 0)
			continue;
		(void)fprintf(f, "  postern %s%s%s\n        %s\n", words[i].name,
				words[i].usage[0] ? " " : "", words[i].usage,
				words[i].says);
	}
	if (n == 0)
		(void)fputs("\n  -c FILE   the configuration; $POSTERN_CONFIG, else "
			    "/etc/postern/postern.yaml\n  --json    data as JSON\n  --help    "
			    "this, also behind a word\n  --version\n\nExit status: 0 done, 1 failed, 2 "
			    "wrong usage, 75 try again later, 78 bad configuration.\n",
				f);
}

/* The longest word that the arguments begin with; *taken tells its length. */
static const struct cli_word *
word_of(int argc, char **argv, int *taken)
{
	char two[64];

	if (argc > 1 && argv[1][0] != '-') {
		(void)snprintf(two, sizeof(two), "%s %s", argv[0], argv[1]);
		for (size_t i = 0; i < WORDS; i++) {
			if (strcmp(words[i].name, two) == 0) {
				*taken = 2;
				return &words[i];
			}
		}
	}
	for (size_t i = 0; i < WORDS; i++) {
		if (strcmp(words[i].name, argv[0]) == 0) {
			*taken = 1;
			return &words[i];
		}
	}
	return NULL;
}

static bool
is_group(const char *name)
{
	size_t n = strlen(name);

	for (size_t i = 0; i < WORDS; i++) {
		if (strncmp(words[i].name, name, n) == 0 && words[i].name[n] == ' ')
			return true;
	}
	return false;
}

static void
print_version(void)
{
	(void)puts("postern " POSTERN_VERSION);
}

/* Takes the global options out, wherever they stand. Returns -1 to go on. */
static int
take_globals(struct cli *c, bool *help)
{
	int kept = 0;

	for (int i = 0; i < c->argc; i++) {
		char *arg = c->argv[i];
		if (strcmp(arg, "--json") == 0) {
			c->json = true;
		} else if (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0) {
			*help = true;
		} else if (strcmp(arg, "--version") == 0 && kept == 0) {
			print_version();
			return CLI_DONE;
		} else if (strcmp(arg, "-c") == 0) {
			if (i + 1 == c->argc)
				return cli_fail(CLI_USAGE,
						"-c needs the configuration file");
			c->conf_path = c->argv[++i];
		} else {
			c->argv[kept++] = arg;
		}
	}
	c->argc = kept;
	return -1;
}

static int
say_word(struct cli *c, bool help)
{
	int taken = 0;
	const struct cli_word *w =
			c->argc > 0 ? word_of(c->argc, c->argv, &taken) : NULL;

	if (help) {
		print_usage(stdout,
				w ? w->name
						: c->argc > 0 && is_group(c->argv[0])
						? c->argv[0]
						: "");
		return CLI_DONE;
	}
	if (!w) {
		print_usage(stderr,
				c->argc > 0 && is_group(c->argv[0]) ? c->argv[0] : "");
		return c->argc == 0 ? CLI_USAGE
				    : cli_fail(CLI_USAGE, "there is no word \"%s\"",
						      c->argv[0]);
	}
	c->argc -= taken;
	c->argv += taken;
	return w->run(c);
}

int
main(int argc, char **argv)
{
	const char *from_env = getenv("POSTERN_CONFIG");
	struct cli c = {
		.conf_path = from_env && from_env[0] ? from_env
						     : "/etc/postern/postern.yaml",
		.argc = argc > 0 ? argc - 1 : 0,
		.argv = argv + 1,
	};
	bool help = false;
	int status = take_globals(&c, &help);

	if (status < 0)
		status = say_word(&c, help);
	conf_free(c.conf);
	if (c.refused)
		status = CLI_FAILED;
	/* What could not be printed (a full disk, a closed pipe) was not done. */
	if ((fflush(stdout) != 0 || ferror(stdout)) && status == CLI_DONE)
		status = CLI_FAILED;
	return status;
}

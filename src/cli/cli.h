/* The words people type: what they share. */
#ifndef CLI_H
#define CLI_H

#include <jansson.h>
#include <stdio.h>

#include "postern/arena.h"
#include "postern/buf.h"
#include "postern/conf.h"
#include "postern/err.h"

/* SQLite opens no longer path than 512 octets, its own additions among them. */
enum { CLI_STATE_MAX = 490 };

/* SPEC section 2 */
enum {
	CLI_DONE = 0,
	CLI_FAILED = 1,
	CLI_USAGE = 2,
	CLI_LATER = 75,
	CLI_CONFIG = 78,
};

struct cli {
	const char *conf_path;
	bool json;
	int argc; /* what stands behind the word, options taken out */
	char **argv;
	struct conf *conf; /* by cli_conf; freed by main */
	bool owner; /* we are root, and the state's owner is whom we act as */
	bool refused; /* this user may not use the state: exit 1, whatever else */
};

struct cli_word {
	const char *name; /* "queue", "queue list" */
	const char *usage; /* its arguments */
	const char *says; /* one sentence */
	int (*run)(struct cli *c);
};

/* An option of one word: `--since T` fills *value, `--follow` sets *flag. */
struct cli_option {
	const char *name;
	const char **value;
	bool *flag;
};

/* Takes the word's options out of argv; false (and says so) for unknown ones.
 * What is left must be between least and most arguments. */
bool cli_options(struct cli *c, const struct cli_option *options, int least, int most);

/* Reads the configuration; prints all faults. False: return CLI_CONFIG. */
bool cli_conf(struct cli *c);
/* The same for who prints the faults, warnings too, with others of his own. */
struct conf_faults;
bool cli_conf_faults(struct cli *c, struct conf_faults *faults);
/* The same, makes the state directory, and becomes server.user when we are root (or whom the
 * state belongs to, where none is set: conf->server.user then says so). */
bool cli_state(struct cli *c);
/* Becomes that user only: for who changes nothing, but meets secrets. */
bool cli_become_user(struct cli *c);
/* May this user read the state? False after saying who may. One that is not there may. */
bool cli_state_readable(struct cli *c);
/* The same for who needs root a little longer. */
bool cli_state_as_root(struct cli *c);
/* The lock of the state directory; -1 after saying who has it: return CLI_LATER. */
int cli_lock(const struct cli *c);
/* STATE/name, in the arena of the process: never freed before its end. */
const char *cli_path(const struct cli *c, const char *name);
/* Opens log and journal for the service and `once`. */
bool cli_log(const struct conf *conf, struct err *err);
/* The same for a word that changes something: its events go where the service's go,
 * but not between its own answers on the terminal. */
bool cli_log_quietly(const struct conf *conf, struct err *err);
/* The name of whoever types, for events. */
const char *cli_user(void);

/* "postern: WORDS" to standard error; gives `status` back. */
int cli_fail(int status, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Tells a running relay that the store has changed; silent when none runs. */
void cli_wake_relay(const struct cli *c);
/* After a change: for the record (9002), and so that the relay looks again. */
void cli_changed(const struct cli *c, const char *action, const char *detail);

/* --- printing --- */

/* Bytes from outside as a JSON string, whatever they are. */
json_t *cli_json_span(struct span s);
json_t *cli_json_time(int64_t ms); /* null for 0 */
/* JSON as it was made; characters that turn a terminal's text around are escaped. */
void cli_put_json(FILE *f, struct span text);
/* Prints and frees it; gives CLI_DONE. */
int cli_print_json(json_t *j);
/* Bytes from outside for a terminal: tamed, cut at `width` columns (0: whole). */
void cli_print_span(FILE *f, struct span s, size_t width);

/* The same for texts of several lines; a line end is put behind the last. */
void cli_print_lines(FILE *f, struct span s);

/* A table: cells are collected, columns get as wide as they need. */
enum { CLI_COLUMNS_MAX = 16 };

struct cli_table {
	size_t columns;
	struct arena arena;
	struct cli_row *first, **last;
	size_t rows; /* gathered, the titles among them */
	size_t width[CLI_COLUMNS_MAX]; /* so far */
	bool right[CLI_COLUMNS_MAX];
};

struct cli_row {
	struct cli_row *next;
	const char **cells;
};

/* titles has `columns` entries. A title that begins with '>' is right-aligned. */
void cli_table_init(struct cli_table *t, const char *const *titles, size_t columns);
void cli_table_row(struct cli_table *t, const char *const *cells);
/* The cell text for a span, in the table's memory, tamed. */
const char *cli_cell(struct cli_table *t, struct span s);
const char *cli_cell_num(struct cli_table *t, uint64_t n);
const char *cli_cell_time(struct cli_table *t, int64_t ms); /* "-" for 0 */
/* Prints what was gathered so far and frees it. More rows may follow: columns get wider
 * then, never narrower. */
void cli_table_print(struct cli_table *t);

/* A list that may be long. It is printed while it is made, so it needs little memory, its
 * first lines come at once, and whoever has seen enough may close the pipe. As JSON it is an
 * array, else a table. */
struct cli_list {
	bool json;
	size_t n; /* of what it has */
	struct cli_table table; /* for the cells */
};

void cli_list_init(struct cli_list *l, bool json, const char *const *titles,
		size_t columns);
/* One element of the array; printed and freed. */
void cli_list_json(struct cli_list *l, json_t *element);
/* One row of the table. An element may have several: the first one counts. */
void cli_list_row(struct cli_list *l, const char *const *cells, bool first);
/* False: nobody takes what is printed any more. */
bool cli_list_goes_on(struct cli_list *l);
/* `empty` is said when there was nothing. */
int cli_list_end(struct cli_list *l, const char *empty);
/* After a failure: what was printed so far stays, without an end. */
void cli_list_drop(struct cli_list *l);

/* --- the words, one file for each --- */

int cli_run(struct cli *c);
int cli_reload(struct cli *c);
int cli_once(struct cli *c);
int cli_check(struct cli *c);
int cli_poll(struct cli *c);
int cli_status(struct cli *c);
int cli_accounts(struct cli *c);
int cli_accounts_show(struct cli *c);
int cli_accounts_adopt(struct cli *c);
int cli_accounts_resume(struct cli *c);
int cli_accounts_retry(struct cli *c);
int cli_explain(struct cli *c);
int cli_trace(struct cli *c);
int cli_queue_list(struct cli *c);
int cli_queue_show(struct cli *c);
int cli_queue_retry(struct cli *c);
int cli_unrouted_list(struct cli *c);
int cli_unrouted_show(struct cli *c);
int cli_unrouted_assign(struct cli *c);
int cli_unrouted_rules(struct cli *c);
int cli_unrouted_forget(struct cli *c);
int cli_badmail_list(struct cli *c);
int cli_badmail_show(struct cli *c);
int cli_badmail_replay(struct cli *c);
int cli_policy_list(struct cli *c);
int cli_policy_show(struct cli *c);
int cli_policy_apply(struct cli *c);
int cli_policy_add(struct cli *c);
int cli_policy_remove(struct cli *c);
int cli_policy_test(struct cli *c);
int cli_recipient_list(struct cli *c);
int cli_recipient_show(struct cli *c);
int cli_recipient_add(struct cli *c);
int cli_recipient_set(struct cli *c);
int cli_recipient_remove(struct cli *c);
int cli_recipient_import(struct cli *c);
int cli_events(struct cli *c);
int cli_events_explain(struct cli *c);
int cli_events_catalog(struct cli *c);
int cli_import_fetchmailrc(struct cli *c);
int cli_import_getmailrc(struct cli *c);
int cli_import_mpoprc(struct cli *c);
int cli_config_schema(struct cli *c);
int cli_config_defaults(struct cli *c);

#endif

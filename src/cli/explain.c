/* explain: a dry run for one message. Changes nothing. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "explain.h"
#include "postern/address.h"
#include "postern/fetch.h"
#include "postern/file.h"
#include "postern/log.h"
#include "postern/num.h"
#include "postern/origin.h"

/* A message as it is read here: the body is only counted. */
struct letter {
	struct buf header;
	uint64_t octets;
	bool pipe; /* its size is known by reading on only */
};

static int
letter_open(const char *path, struct letter *l, struct err *err)
{
	bool input = strcmp(path, "-") == 0;
	int fd = input ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0)
		       : open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 && input && errno == EBADF)
		(void)err_set(err, 0, "standard input is closed; nothing can be read");
	else if (fd < 0)
		(void)err_errno(err, 0, errno, "cannot open %s", path);
	l->pipe = fd >= 0 && (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode));
	if (fd >= 0 && !l->pipe)
		l->octets = (uint64_t)st.st_size;
	return fd;
}

/* Its header, and how large it is, as far as `most`. */
static bool
letter_read(const char *path, uint64_t most, struct letter *l, struct err *err)
{
	AUTO(fd_done) int fd = letter_open(path, l, err);
	AUTO(buf_done) struct buf piece = BUF_MAX(65536);
	struct header_end end = { 0 };
	bool whole = false;
	uint64_t seen = 0;

	if (fd < 0)
		return false;
	while (!whole || (l->pipe && seen <= most)) {
		char *room = buf_room(&piece, 65536);
		ssize_t n = room ? read(fd, room, 65536) : 0;
		if (n < 0)
			return err_errno(err, 0, errno, "cannot read %s%s", path,
					errno == EISDIR ? " as a message" : "");
		if (n == 0)
			break;
		seen += (uint64_t)n;
		struct span more = span_first((struct span){ room, (size_t)n },
				HEADER_MAX - l->header.n);
		if (!whole &&
				!buf_add(&l->header,
						span_first(more,
								header_end_feed(&end,
										more))))
			return err_set(err, 0, "%s: out of memory", path);
		whole = end.found || l->header.n == HEADER_MAX;
	}
	l->octets = l->pipe ? seen : l->octets;
	return true;
}

bool
explain_learned(struct reader *reader, const char *account, struct provider_habits *out)
{
	AUTO(arena_done) struct arena a = ARENA_MAX(16 * 1024 * 1024);
	struct fetch_memory memory;
	struct span memo;
	struct err err;

	if (!reader || !poll_memo(reader, span_of(account), &a, &memo, &err) ||
			!fetch_memory_read(memo, &a, &memory))
		return false;
	*out = memory.provider;
	return true;
}

/* ---- what is told ---- */

/* One message, and what was decided about it. */
struct explained {
	const struct conf_account *account;
	const struct routing *routing;
	const struct recipients *r;
	const struct answers *all;
	struct arena *a;
	bool too_large; /* for max_size of the account */
	struct buf sentence, advice;
};

/* Too large, and nobody is told. */
static bool
is_skipped(const struct explained *x)
{
	return x->too_large && x->account->oversize == CONF_OVERSIZE_SKIP;
}

/* What is not collected is no matter for the relay; a note of it is. */
static void
say_too_large(struct explained *x)
{
	char max[24];

	num_size_print(x->account->max_size, max);
	(void)!buf_addf(&x->sentence,
			" But it has more octets than max_size of account %s (%s): it stays "
			"at the provider, and %s.",
			x->account->name, max,
			is_skipped(x) ? "nobody gets it (oversize: skip)"
				      : "only a note with its header goes this way "
					"(oversize: notice)");
	(void)!buf_addf(&x->advice,
			"%sTo have it collected: raise max_size of account %s.",
			x->advice.n > 0 ? " " : "", x->account->name);
}

static const char *
unrouted_word(const struct conf_account *account)
{
	switch (account->unrouted.kind) {
	case CONF_UNROUTED_HOLD:
		return "hold";
	case CONF_UNROUTED_BADMAIL:
		return "badmail";
	case CONF_UNROUTED_ADDRESS:
		return account->unrouted.address;
	case CONF_UNROUTED_POSTMASTER:
		break;
	}
	return "postmaster";
}

static struct span
rule_of(const struct recipients *r)
{
	for (size_t i = 0; i < r->n_facts; i++) {
		if (r->facts[i].event == EVENT_ALIAS_APPLIED)
			return r->facts[i].name;
	}
	return SPAN("");
}

static size_t
refused_words(const struct answers *all, struct arena *a, struct words_refused **out)
{
	size_t n = json_array_size(all->refused);

	*out = arena_alloc(a, (n + 1) * sizeof(**out));
	for (size_t i = 0; *out && i < n; i++) {
		const json_t *one = json_array_get(all->refused, i);

		(*out)[i] = (struct words_refused){
			span_of(json_string_value(json_object_get(one, "address"))),
			span_of(json_string_value(json_object_get(one, "reply"))),
			span_of(json_string_value(json_array_get(all->reasons, i))),
		};
	}
	return *out ? n : 0;
}

/* What comes back to us is not delivered again (E10). */
static void
say_stamps(struct explained *x, struct reader *reader, struct span header)
{
	AUTO(buf_done) struct buf who = BUF_MAX(4096);

	if (explain_stamps(reader, header, x->r, x->all, &who))
		(void)!buf_addf(&x->sentence,
				" But " SPAN_FMT
				" had it before: it carries loop stamps of this gateway. What "
				"comes back is not delivered again: it is a copy (4041), or, "
				"changed on its way, a loop (4042).",
				SPAN_ARG(buf_span(&who)));
}

static void
make_sentence(struct explained *x)
{
	enum { DOMAINS_SHOWN = 200 };
	AUTO(buf_done) struct buf domains = BUF_MAX(4096);
	struct span *accepted;
	struct words_refused *refused;
	struct words_decision d = {
		.user = x->routing->account.user,
		.outcome = x->r->outcome,
		.level = x->r->level,
		.source = x->r->source,
		.rule = rule_of(x->r),
		.account = span_of(x->account->name),
		.n_accepted = explain_addresses(x->all->recipients, x->a, &accepted),
		.n_refused = refused_words(x->all, x->a, &refused),
		.hops = explain_hops(x->all, x->r) ? x->r->received : 0,
		.max_hops = x->all->conf->smtp.max_hops,
		.unrouted = span_of(unrouted_word(x->account)),
		.candidates = x->r->candidates,
		.n_candidates = x->r->n_candidates,
	};

	d.accepted = accepted;
	d.refused = refused;
	if (words_domains(x->routing->account.served, DOMAINS_SHOWN, &domains))
		d.domains = buf_span(&domains);
	(void)!words_sentence(&d, &x->sentence); /* past its limit the tail is lost */
	(void)!words_advice(&d, &x->advice);
	if (x->account->envelope.mode == CONF_ENVELOPE_SDPS)
		(void)!buf_addf(&x->advice,
				"%sThe server of %s is asked for each message's envelope (*ENV); "
				"what it says comes before all of this, and a file does not have it.",
				x->advice.n > 0 ? " " : "", x->account->name);
	if (x->too_large)
		say_too_large(x);
}

/* The facts that somebody may want to do something about; who gets it, or that nobody
 * does, is said already. */
static bool
is_warning(const struct recipients_fact *f)
{
	return f->event != EVENT_RECIPIENTS_DETERMINED &&
			f->event != EVENT_NOBODY_FOUND &&
			f->event != EVENT_NOBODY_FOUND_HELD;
}

static bool
fact_words(const struct recipients_fact *f, struct buf *out)
{
	buf_clear(out);
	/* The event's words are about addresses, whatever there is too much of. */
	if (f->event == EVENT_TOO_MANY_ADDRESSES &&
			span_eq(f->name, SPAN("header octets")))
		return buf_addf(out,
				"The header of this message has more than %" PRIu64
				" octets; what is behind them was not looked at.",
				f->m);
	if (f->event == EVENT_TOO_MANY_ADDRESSES &&
			span_eq(f->name, SPAN("field octets")))
		return buf_addf(out,
				"A header field of this message has more than %" PRIu64
				" octets; what is behind them was not looked at.",
				f->m);

	struct field fields[1 + ROUTING_FACT_FIELDS] = { f_str(
			"uidl", "this message") };

	routing_fact_fields(f, 0, fields + 1);
	(void)log_words(out, f->event, fields);
	return out->n > 0;
}

static json_t *
warnings_json(const struct recipients *r)
{
	AUTO(buf_done) struct buf text = BUF_MAX(8192);
	json_t *list = json_array();

	for (size_t i = 0; i < r->n_facts; i++) {
		if (!is_warning(&r->facts[i]) || !fact_words(&r->facts[i], &text))
			continue;
		(void)json_array_append_new(list,
				json_pack("{s:i,s:o}", "event", r->facts[i].event,
						"text",
						cli_json_span(buf_span(&text))));
	}
	return list;
}

static json_t *
candidates_json(const struct recipients *r)
{
	json_t *list = json_array();

	for (size_t i = 0; i < r->n_candidates; i++) {
		const struct recipients_candidate *x = &r->candidates[i];
		(void)json_array_append_new(list,
				json_pack("{s:o,s:o,s:b,s:s}", "address",
						cli_json_span(x->address), "header",
						cli_json_span(x->header), "kept",
						x->kept, "why", x->why ? x->why : ""));
	}
	return list;
}

static int
print_json(const struct explained *x)
{
	static const char *const outcomes[] = {
		[RECIPIENTS_FOUND] = "found",
		[RECIPIENTS_FALLBACK] = "fallback",
		[RECIPIENTS_HOLD] = "hold",
		[RECIPIENTS_BADMAIL] = "badmail",
	};
	const struct recipients *r = x->r;
	bool hops = explain_hops(x->all, r);
	const char *reason = hops ? "hop-count" : r->reason;
	json_t *j = json_pack("{s:s,s:o,s:o,s:o,s:O,s:O}", "account", x->account->name,
			"sender", cli_json_span(r->sender), "source",
			cli_json_span(r->source), "candidates", candidates_json(r),
			"recipients", x->all->recipients, "refused", x->all->refused);

	(void)json_object_set_new(j, "outcome",
			json_string(is_skipped(x)	       ? "skipped"
							: hops ? "badmail"
							       : outcomes[r->outcome]));
	(void)json_object_set_new(j, "level", json_integer((json_int_t)r->level));
	(void)json_object_set_new(
			j, "reason", reason ? json_string(reason) : json_null());
	(void)json_object_set_new(j, "sentence", cli_json_span(buf_span(&x->sentence)));
	(void)json_object_set_new(j, "advice", cli_json_span(buf_span(&x->advice)));
	(void)json_object_set_new(j, "warnings", warnings_json(r));
	return cli_print_json(j);
}

static void
print_list(const json_t *list, const char *label, const char *what)
{
	const json_t *one;
	size_t i;

	json_array_foreach(list, i, one)
	{
		(void)fputs(label, stdout);
		cli_print_span(stdout,
				span_of(json_string_value(
						json_object_get(one, "address"))),
				0);
		(void)fputs(", ", stdout);
		cli_print_span(stdout,
				span_of(json_string_value(json_object_get(one, what))),
				0);
		(void)putchar('\n');
	}
}

static void
print_text(const struct explained *x)
{
	static const char *const titles[] = { "header", "address", "kept", "why" };
	AUTO(buf_done) struct buf text = BUF_MAX(8192);
	const struct recipients *r = x->r;
	struct cli_table t;

	cli_print_span(stdout, buf_span(&x->sentence), 0);
	(void)putchar('\n');
	if (x->advice.n > 0) {
		cli_print_span(stdout, buf_span(&x->advice), 0);
		(void)putchar('\n');
	}
	(void)putchar('\n');
	cli_table_init(&t, titles, 4);
	for (size_t i = 0; i < r->n_candidates; i++) {
		const struct recipients_candidate *one = &r->candidates[i];
		const char *const row[] = { cli_cell(&t, one->header),
			cli_cell(&t, one->address), one->kept ? "yes" : "no",
			one->why ? one->why : "" };
		cli_table_row(&t, row);
	}
	if (r->n_candidates > 0) {
		cli_table_print(&t);
		(void)putchar('\n');
	} else {
		arena_done(&t.arena);
	}
	for (size_t i = 0; i < r->n_facts; i++) {
		if (!is_warning(&r->facts[i]) || !fact_words(&r->facts[i], &text))
			continue;
		(void)printf("warning  %d: ", r->facts[i].event);
		cli_print_lines(stdout, buf_span(&text));
	}
	(void)fputs("sender   <", stdout);
	cli_print_span(stdout, r->sender, 0);
	(void)puts(">");
	print_list(x->all->recipients, "to       ", "route");
	print_list(x->all->refused, "refused  ", "reply");
}

static int
explain(struct cli *c, const struct conf_account *account, const struct letter *letter,
		struct reader *reader)
{
	AUTO(arena_done) struct arena a = ARENA_MAX(2 * RECIPIENTS_ARENA_MAX);
	struct routing routing;
	struct recipients r = { 0 };
	struct answers all;
	struct err err = { 0 };
	struct provider_habits learned = { 0 };
	int status = CLI_DONE;
	struct directory *d = directory_now(c, reader, &err);

	if (!d || !routing_init(&routing, c->conf, account, d, reader, &err)) {
		directory_free(d);
		return err.event == EVENT_TARGET_DISABLED
				? cli_fail(CLI_FAILED,
						  "there is no recipient %s; account %s is not collected",
						  err.text, account->name)
				: cli_fail(CLI_FAILED, "%s", err.text);
	}
	if (explain_learned(reader, account->name, &learned))
		routing.account.learned = &learned;
	answers_open(&all, c, d);
	recipients_decide(&routing.account, buf_span(&letter->header), &a, &r);
	explain_answers(&all, &r);

	struct explained x = { .account = account,
		.routing = &routing,
		.r = &r,
		.all = &all,
		.a = &a,
		.too_large = account->max_size > 0 &&
				letter->octets > account->max_size,
		.sentence = BUF_MAX(65536),
		.advice = BUF_MAX(65536) };
	make_sentence(&x);
	say_stamps(&x, reader, buf_span(&letter->header));
	if (is_skipped(&x)) {
		(void)json_array_clear(all.recipients);
		(void)json_array_clear(all.refused);
	}
	if (c->json)
		status = print_json(&x);
	else
		print_text(&x);
	buf_done(&x.sentence);
	buf_done(&x.advice);
	routing_done(&routing);
	answers_close(&all);
	return status;
}

/* NULL, and said why. */
static const struct conf_account *
account_of(struct cli *c, const char *name)
{
	if (!name && c->conf->accounts.n == 1)
		return &c->conf->accounts.p[0];

	const struct conf_account *account =
			name ? conf_account_find(c->conf, name) : NULL;
	if (name && !account)
		(void)cli_fail(0, "there is no account %s; postern accounts lists them",
				name);
	else if (!account)
		(void)cli_fail(0,
				c->conf->accounts.n == 0
						? "there is no account in the configuration"
						: "--account NAME is needed: who gets a message "
						  "depends on it; postern accounts lists them");
	return account;
}

static int
explain_file(struct cli *c, const char *path, const char *name)
{
	struct letter letter = { .header = BUF_MAX(HEADER_MAX) };
	struct err err = { 0 };
	bool nothing;

	if (!cli_conf(c))
		return CLI_CONFIG;
	const struct conf_account *account = account_of(c, name);
	if (!account)
		return CLI_USAGE;

	struct reader *reader = cli_reader_open(c, &nothing);
	int status = CLI_FAILED;
	if (!reader && !nothing)
		return status;
	if (letter_read(path, account->max_size, &letter, &err)) {
		if (letter.octets == 0)
			(void)cli_fail(0,
					"%s is empty; this is what becomes of an empty message",
					path);
		status = explain(c, account, &letter, reader);
	} else {
		(void)cli_fail(0, "%s", err.text);
	}
	buf_done(&letter.header);
	reader_close(reader);
	return status;
}

enum { POLICIES_MAX = 100 };

/* --policy may stand there several times: takes all of them out of argv. */
static bool
take_policies(struct cli *c, char *names[POLICIES_MAX], size_t *n)
{
	int kept = 0;

	for (int i = 0; i < c->argc; i++) {
		if (strcmp(c->argv[i], "--policy") != 0) {
			c->argv[kept++] = c->argv[i];
			continue;
		}
		if (i + 1 == c->argc || *n == POLICIES_MAX) {
			(void)cli_fail(0,
					*n == POLICIES_MAX ? "more than 100 policies"
							   : "--policy needs a file");
			return false;
		}
		names[(*n)++] = c->argv[++i];
	}
	c->argc = kept;
	return true;
}

int
cli_explain(struct cli *c)
{
	char *policies[POLICIES_MAX];
	struct replay_options o = { .policies = policies };
	const struct cli_option options[] = { { "--account", &o.account, NULL },
		{ "--since", &o.since, NULL }, { 0 } };

	if (!take_policies(c, policies, &o.n_policies) ||
			!cli_options(c, options, 0, 1))
		return CLI_USAGE;
	if (o.since && c->argc > 0)
		return cli_fail(CLI_USAGE, "either a file or --since");
	if (o.since)
		return explain_since(c, &o);
	if (c->argc == 0)
		return cli_fail(CLI_USAGE,
				"an argument is missing: a file, - or --since, see --help");
	if (o.n_policies > 0)
		return cli_fail(CLI_USAGE, "--policy goes with --since");
	return explain_file(c, c->argv[0], o.account);
}

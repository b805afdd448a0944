#include "explain_words.h"

#include <string.h>

enum {
	SHOWN = 5, /* of a list of addresses */
	KINDS = 8, /* of reasons told apart */
};

static bool
say(struct buf *out, const char *words)
{
	return buf_add(out, span_of(words));
}

static bool
say_list(struct buf *out, const struct span *v, size_t n)
{
	for (size_t i = 0; i < n && i < SHOWN; i++) {
		if ((i > 0 && !say(out, ", ")) || !buf_add(out, v[i]))
			return false;
	}
	return n <= SHOWN || buf_addf(out, " and %zu more", n - SHOWN);
}

static bool
kept_in(const struct words_decision *d, struct span header)
{
	for (size_t i = 0; i < d->n_candidates; i++) {
		if (d->candidates[i].kept &&
				span_eq_nocase(d->candidates[i].header, header))
			return true;
	}
	return false;
}

/* Where they were found, with its rule. */
static bool
say_source(struct buf *out, const struct words_decision *d, bool several)
{
	switch (d->level) {
	case 0:
		return say(out, "the recipient of the user account ") &&
				buf_add(out, d->account) &&
				say(out, ", whose headers are not asked (E0)");
	case 1:
		return say(out, "told by the provider's POP3 server itself, by *ENV (E1.1)");
	case 2:
		return say(out, "found in ") && buf_add(out, d->source) &&
				say(out, ", which the provider wrote (E1.2)");
	case 3:
		return say(out, "found in the for-clause of the provider's Received line (E1.3)");
	case 4:
		return say(out,
				kept_in(d, SPAN("Resent-Bcc"))
						? "found in the topmost resent block, Resent-To, "
						  "Resent-Cc and Resent-Bcc (E1.4)"
						: "found in the topmost resent block, Resent-To and "
						  "Resent-Cc (E1.4)");
	case 5:
		return span_eq(d->source, SPAN("to-cc"))
				? say(out,
						  kept_in(d, SPAN("Bcc"))
								  ? "found in To, Cc and Bcc (E1.5)"
								  : "found in To and Cc (E1.5)")
				: say(out, "found in ") && buf_add(out, d->source) &&
						say(out, " (E1.5)");
	case 6:
		return say(out,
				       several ? "named by alias rules"
					       : "named by an alias rule") &&
				(d->rule.n == 0 ||
						(say(out, " for \"") &&
								buf_add(out, d->rule) &&
								say(out, "\""))) &&
				say(out, " (E1.6)");
	default:
		return say(out, "found in ") && buf_add(out, d->source);
	}
}

/* ---- refused ---- */

/* Is this the first one refused for its reason? */
static bool
is_first(const struct words_decision *d, size_t i)
{
	for (size_t k = 0; k < i; k++) {
		if (span_eq(d->refused[k].reason, d->refused[i].reason))
			return false;
	}
	return true;
}

static bool
say_refused(struct buf *out, const struct words_decision *d)
{
	for (size_t i = 0; i < d->n_refused && i < SHOWN; i++) {
		if ((i > 0 && !say(out, ", ")) || !buf_add(out, d->refused[i].address))
			return false;
	}
	return d->n_refused <= SHOWN ||
			buf_addf(out, " and %zu more", d->n_refused - SHOWN);
}

/* What it says to the first of each reason. */
static bool
say_refusal(struct buf *out, const struct words_decision *d)
{
	const char *before = ": ";

	if (!say(out, d->past ? "the relay refused" : "the relay refuses"))
		return false;
	for (size_t i = 0; i < d->n_refused; i++) {
		if (d->refused[i].reply.n == 0 || !is_first(d, i))
			continue;
		if (!say(out, before) || !buf_add(out, d->refused[i].reply))
			return false;
		before = "; ";
	}
	return true;
}

static bool
say_badmail(struct buf *out, const struct words_decision *d)
{
	const char *before = d->past ? "went to Badmail (" : "goes to Badmail (";

	for (size_t i = 0; i < d->n_refused; i++) {
		if (!is_first(d, i))
			continue;
		if (!say(out, before) || !buf_add(out, d->refused[i].reason))
			return false;
		before = ", ";
	}
	return say(out, ").");
}

static bool
say_found(struct buf *out, const struct words_decision *d)
{
	bool several = d->n_refused > 1;

	if (d->n_accepted == 0)
		return say(out, d->past ? "Nobody got it: " : "Nobody gets it: ") &&
				say_refused(out, d) &&
				say(out,
						d->past ? several ? " were " : " was "
								: several ? " are "
									  : " is ") &&
				say_source(out, d, several) && say(out, ", but ") &&
				say_refusal(out, d) && say(out, ". It ") &&
				say_badmail(out, d);
	if (!say(out, d->past ? "Decided for " : "Delivered to ") ||
			!say_list(out, d->accepted, d->n_accepted) || !say(out, ": ") ||
			!say_source(out, d, d->n_accepted > 1) || !say(out, "."))
		return false;
	return d->n_refused == 0 ||
			(say(out, " Not to ") && say_refused(out, d) &&
					say(out, ": ") && say_refusal(out, d) &&
					say(out, ". That copy ") &&
					say_badmail(out, d));
}

/* ---- nobody ---- */

struct kind {
	struct span why;
	size_t n;
};

/* The reasons of the candidates, each once and counted; the last takes what is more. */
static size_t
kinds_of(const struct words_decision *d, struct kind kinds[KINDS])
{
	size_t n = 0;

	for (size_t i = 0; i < d->n_candidates; i++) {
		struct span why = span_of(d->candidates[i].why);
		size_t k = 0;

		while (k < n && !span_eq(kinds[k].why, why))
			k++;
		if (k == KINDS) {
			k = KINDS - 1;
			kinds[k].why = SPAN("of other reasons");
		} else if (k == n) {
			kinds[n++] = (struct kind){ why, 0 };
		}
		kinds[k].n++;
	}
	return n;
}

static bool
say_domains(struct buf *out, const struct words_decision *d)
{
	return d->domains.n == 0 ||
			(say(out, " (") && buf_add(out, d->domains) && say(out, ")"));
}

/* "E11: not in the account's domains" as "2 not in the account's domains (E11)" */
static bool
say_kind(struct buf *out, const struct kind *k, bool alone)
{
	struct span words = k->why, rule = span_until(&words, ':');

	words = span_trim(words);
	if (!alone && !buf_addf(out, "%zu ", k->n))
		return false;
	if (words.n == 0)
		return buf_add(out, k->why);
	return buf_add(out, words) && say(out, " (") && buf_add(out, rule) &&
			say(out, ")");
}

static bool
say_seen(struct buf *out, const struct words_decision *d)
{
	struct kind kinds[KINDS] = { 0 };
	size_t n = kinds_of(d, kinds), known = d->n_candidates;
	size_t seen = d->n_seen > known ? d->n_seen : known;

	if (d->user)
		return say(out, "the recipient of the user account ") &&
				buf_add(out, d->account) &&
				say(out, " is no usable address.");
	if (seen == 0)
		return say(out, "no recipient field of the header names an address.");
	if (!buf_addf(out,
			    seen == 1 ? "%zu address was seen, "
				      : "%zu addresses were seen, ",
			    seen))
		return false;
	if (n == 1 && seen == known &&
			span_eq(kinds[0].why,
					SPAN("E11: not in the account's domains")))
		return say(out,
				       seen == 1 ? "it is not in the account's domains"
						 : "none of them is in the account's domains") &&
				say_domains(out, d) && say(out, ".");
	if (!say(out, seen == 1 ? "it does not count: " : "none of them counts: ") ||
			(seen > known && !buf_addf(out, "of the first %zu, ", known)))
		return false;
	for (size_t i = 0; i < n; i++) {
		if ((i > 0 && !say(out, "; ")) || !say_kind(out, &kinds[i], seen == 1))
			return false;
	}
	return say(out, ".");
}

/* "With unrouted: postmaster it " or "It ". */
static bool
say_with(struct buf *out, const struct words_decision *d)
{
	if (d->unrouted.n == 0)
		return say(out, " It ");
	return say(out, " With unrouted: ") && buf_add(out, d->unrouted) &&
			say(out, " it ");
}

static bool
say_fallback(struct buf *out, const struct words_decision *d)
{
	if (d->n_accepted == 0)
		return say_with(out, d) && say(out, "would go to ") &&
				say_refused(out, d) && say(out, ", but ") &&
				say_refusal(out, d) && say(out, ". It ") &&
				say_badmail(out, d);
	return say_with(out, d) && say(out, d->past ? "went to " : "goes to ") &&
			say_list(out, d->accepted, d->n_accepted) && say(out, ".");
}

static bool
say_hold(struct buf *out, const struct words_decision *d)
{
	if (!say_with(out, d))
		return false;
	if (d->hops > 0)
		return say(out,
				d->past ? "would have been held, but went to Badmail (hop-count)."
					: "would be held, but goes to Badmail (hop-count).");
	return say(out,
			d->past ? "was held as unrouted."
				: "is held until somebody says who gets it "
				  "(postern unrouted assign).");
}

static bool
say_nobody(struct buf *out, const struct words_decision *d)
{
	if (!say(out, d->past ? "Nobody was found: " : "Nobody is found: ") ||
			!say_seen(out, d))
		return false;
	if (d->outcome == RECIPIENTS_FALLBACK)
		return say_fallback(out, d);
	if (d->outcome == RECIPIENTS_HOLD)
		return say_hold(out, d);
	if (d->unrouted.n > 0 && !span_eq(d->unrouted, SPAN("badmail")))
		return say_with(out, d) &&
				say(out,
						"would go to a postmaster, but none of their "
						"addresses is in a policy domain. It goes to Badmail "
						"(no-recipients).");
	return say_with(out, d) && say(out, d->past ? "went" : "goes") &&
			say(out, " to Badmail (no-recipients).");
}

static bool
say_hops(struct buf *out, const struct words_decision *d)
{
	if (d->hops == 0)
		return true;
	return buf_addf(out,
			       d->past ? " It had %u Received lines"
				       : " It has %u Received lines",
			       d->hops) &&
			(d->max_hops == 0 ? say(out, ", more hops than may be.")
					  : buf_addf(out, ", more hops than smtp.max_hops (%u).",
							    d->max_hops));
}

bool
words_sentence(const struct words_decision *d, struct buf *out)
{
	return (d->outcome == RECIPIENTS_FOUND ? say_found(out, d)
					       : say_nobody(out, d)) &&
			say_hops(out, d);
}

/* ---- what to do ---- */

/* An argument of a command that somebody may paste into a shell: as it is where it means
 * nothing there, else what stands for it. Addresses may hold ` | & and $. */
static bool
say_argument(struct buf *out, struct span s, const char *stands_for)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = ascii_lower(s.p[i]);

		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') &&
				(c == '\0' || !strchr("@.+_-", c)))
			return say(out, stands_for);
	}
	return s.n > 0 && s.p[0] != '-' ? buf_add(out, s) : say(out, stands_for);
}

static bool
advise_refused(struct buf *out, const struct words_refused *r)
{
	struct span domain = span_skip(r->address, span_rfind(r->address, '@') + 1);

	if (span_eq(r->reason, SPAN("relay-denied")))
		return say(out, "If ") && buf_add(out, domain) &&
				say(out, " is yours: postern policy add ") &&
				say_argument(out, domain, "DOMAIN") && say(out, ". ");
	if (span_eq(r->reason, SPAN("unknown-user")))
		return say(out, "If somebody is to have ") &&
				buf_add(out, r->address) &&
				say(out, ": postern recipient add ALIAS --primary ") &&
				say_argument(out, r->address, "ADDRESS") &&
				say(out, ". ");
	if (span_eq(r->reason, SPAN("hop-count")))
		return say(out,
				"Hosts that come again in its Received lines mean a loop; "
				"where there is none, raise smtp.max_hops. ");
	if (span_eq(r->reason, SPAN("general")))
		return say(out, "The members of a list: postern policy test ") &&
				say_argument(out, r->address, "ADDRESS") &&
				say(out, ". ");
	return true;
}

static bool
has_why(const struct words_decision *d, struct span begin)
{
	for (size_t i = 0; i < d->n_candidates; i++) {
		if (span_starts(span_of(d->candidates[i].why), begin))
			return true;
	}
	return false;
}

static bool
advise_nobody(struct buf *out, const struct words_decision *d)
{
	if (d->user)
		return say(out, "Set recipient: of account ") &&
				buf_add(out, d->account) &&
				say(out, " to the alias or the address of a recipient. ");
	if (has_why(d, SPAN("E1.2: strict")) &&
			!say(out,
					"Where the provider writes no envelope header, "
					"envelope: auto reads To and Cc. "))
		return false;
	if (has_why(d, SPAN("E2: not above")) &&
			!say(out,
					"Where the provider adds more Received lines itself, raise "
					"trusted_hops. "))
		return false;
	if (d->n_candidates == 0 &&
			!say(out,
					"Where the provider writes the recipient into a header of "
					"its own, name it in envelope:. "))
		return false;
	if (has_why(d, SPAN("E11: not in")) &&
			!(say(out,
					  "If one of these domains is yours: put it into domains: of "
					  "account ") &&
					buf_add(out, d->account) &&
					say(out,
							" and into a policy. For single addresses and "
							"mailing lists: aliases: of the account. ")))
		return false;
	return true;
}

bool
words_refused_advice(const struct words_refused *r, struct buf *out)
{
	size_t begin = out->n;

	if (!advise_refused(out, r) || out->n == begin)
		return false;
	out->n--; /* the last blank */
	return true;
}

bool
words_advice(const struct words_decision *d, struct buf *out)
{
	size_t begin = out->n;

	if (d->outcome != RECIPIENTS_FOUND && !advise_nobody(out, d))
		return false;
	for (size_t i = 0; i < d->n_refused; i++) {
		if (is_first(d, i) && !advise_refused(out, &d->refused[i]))
			return false;
	}
	if (out->n > begin && d->outcome == RECIPIENTS_FOUND &&
			!say(out, "Then postern badmail replay sends what came before. "))
		return false;
	out->n -= out->n > begin; /* the last blank */
	return true;
}

bool
words_domains(const struct domains *set, size_t most, struct buf *out)
{
	size_t begin = out->n;

	for (size_t i = 0; set && i < set->n_exact + set->n_under; i++) {
		bool under = i >= set->n_exact;
		struct span name = under ? set->under[i - set->n_exact] : set->exact[i];

		if (out->n - begin + name.n > most)
			return say(out, out->n > begin ? ", ..." : "...");
		if ((out->n > begin && !say(out, ", ")) || (under && !say(out, "*.")) ||
				!buf_add(out, name))
			return false;
	}
	return true;
}

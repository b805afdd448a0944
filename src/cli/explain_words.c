#include "explain_words.h"

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
		return say(out, "found in the topmost resent block, Resent-To and Resent-Cc (E1.4)");
	case 5:
		return span_eq(d->source, SPAN("to-cc"))
				? say(out, "found in To and Cc (E1.5)")
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

static bool
say_refusal(struct buf *out, const struct words_decision *d)
{
	if (d->refusal.n == 0)
		return say(out, "the relay refused");
	return say(out, d->past ? "the relay refused: " : "the relay refuses: ") &&
			buf_add(out, d->refusal);
}

static bool
say_badmail(struct buf *out, const struct words_decision *d)
{
	return say(out, d->past ? "went to Badmail (" : "goes to Badmail (") &&
			buf_add(out,
					d->badmail.n > 0 ? d->badmail
							 : SPAN("relay-denied")) &&
			say(out, ").");
}

static bool
say_found(struct buf *out, const struct words_decision *d)
{
	if (d->n_accepted == 0)
		return say(out, d->past ? "Nobody got it: " : "Nobody gets it: ") &&
				say_list(out, d->refused, d->n_refused) &&
				say(out,
						d->n_refused == 1 ? d->past ? " was "
									    : " is "
								: d->past ? " were "
									  : " are ") &&
				say_source(out, d, d->n_refused > 1) &&
				say(out, ", but ") && say_refusal(out, d) &&
				say(out, ". It ") && say_badmail(out, d);
	if (!say(out, d->past ? "Decided for " : "Delivered to ") ||
			!say_list(out, d->accepted, d->n_accepted) || !say(out, ": ") ||
			!say_source(out, d, d->n_accepted > 1) || !say(out, "."))
		return false;
	return d->n_refused == 0 ||
			(say(out, " Not to ") &&
					say_list(out, d->refused, d->n_refused) &&
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
	size_t n = kinds_of(d, kinds), seen = d->n_candidates;

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
	if (n == 1 && span_eq(kinds[0].why, SPAN("E11: not in the account's domains")))
		return say(out,
				       seen == 1 ? "it is not in the account's domains"
						 : "none of them is in the account's domains") &&
				say_domains(out, d) && say(out, ".");
	if (!say(out, seen == 1 ? "it does not count: " : "none of them counts: "))
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
	if (d->n_accepted > 0)
		return say_with(out, d) &&
				say(out, d->past ? "went to " : "goes to ") &&
				say_list(out, d->accepted, d->n_accepted) &&
				say(out, ".");
	return say_with(out, d) && say(out, "would go to ") &&
			say_list(out, d->refused, d->n_refused) && say(out, ", but ") &&
			say_refusal(out, d) &&
			say(out,
					d->past ? ". It went to Badmail (no-recipients)."
						: ". It goes to Badmail (no-recipients).");
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
		return say_with(out, d) &&
				say(out,
						d->past ? "was held as unrouted."
							: "is held until somebody says who gets it "
							  "(postern unrouted assign).");
	if (d->unrouted.n > 0 && !span_eq(d->unrouted, SPAN("badmail")))
		return say_with(out, d) &&
				say(out,
						"would go to a postmaster, but none of their "
						"addresses is in a policy domain. It goes to Badmail "
						"(no-recipients).");
	return say_with(out, d) && say(out, d->past ? "went" : "goes") &&
			say(out, " to Badmail (no-recipients).");
}

bool
words_sentence(const struct words_decision *d, struct buf *out)
{
	return d->outcome == RECIPIENTS_FOUND ? say_found(out, d) : say_nobody(out, d);
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

/* The names of what is in Badmail: reasons and files. */
#include <stdio.h>

#include "badmail_in.h"
#include "postern/qid.h"

/* The words of Windows' .BDR files where there were such. */
static const struct {
	const char *name, *words;
} reasons[BADMAIL_REASONS] = {
	[BADMAIL_BAD_PICKUP] = { "bad-pickup",
			"The file in the Pickup directory could not be parsed to get the originator "
			"and recipients." },
	[BADMAIL_GENERAL] = { "general",
			"A general failure occurred while delivering it." },
	[BADMAIL_HOP_COUNT] = { "hop-count",
			"The hop count exceeded the maximum: the message is probably looping." },
	[BADMAIL_NDR_OF_DSN] = { "ndr-of-dsn",
			"This message is a delivery status notification that cannot be delivered." },
	[BADMAIL_NO_RECIPIENTS] = { "no-recipients", "The message has no recipients." },
	[BADMAIL_EXPIRED] = { "expired",
			"The message could not be delivered in time." },
	[BADMAIL_RELAY_DENIED] = { "relay-denied",
			"Unable to relay: the domain of the recipient is in no recipient policy." },
	[BADMAIL_UNKNOWN_USER] = { "unknown-user", "The recipient is not known." },
	[BADMAIL_LOOP] = { "loop",
			"The message has been here before for the same recipient." },
	[BADMAIL_POISON] = { "poison",
			"The message broke its delivery several times." },
	[BADMAIL_POLICY] = { "policy", "The message was refused by policy." },
};

const char *
badmail_reason_name(enum badmail_reason r)
{
	return reasons[r].name;
}

bool
badmail_reason_parse(struct span name, enum badmail_reason *out)
{
	for (int i = 0; i < BADMAIL_REASONS; i++)
		if (span_eq(name, span_of(reasons[i].name))) {
			*out = (enum badmail_reason)i;
			return true;
		}
	return false;
}

void
badmail_name(uint64_t qid, const char *ext, const char *end, char out[BADMAIL_NAME])
{
	char id[QID_SIZE];

	qid_print(qid, id);
	(void)snprintf(out, BADMAIL_NAME, "%s%s.%s%s", *end ? "." : "", id, ext, end);
}

const char *
badmail_reason_words(enum badmail_reason r)
{
	return reasons[r].words;
}

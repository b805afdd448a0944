#include "postern/qid.h"

#include <string.h>

static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

void
qid_print(uint64_t id, char out[QID_SIZE])
{
	for (int i = QID_SIZE - 2; i >= 0; i--) {
		out[i] = digits[id & 31];
		id >>= 5;
	}
	out[QID_SIZE - 1] = '\0';
}

static int
digit_of(char c)
{
	c = (char)(c >= 'a' && c <= 'z' ? c - ('a' - 'A') : c);
	if (c == 'O')
		c = '0';
	if (c == 'I' || c == 'L')
		c = '1';
	const char *at = c ? strchr(digits, c) : NULL;
	return at ? (int)(at - digits) : -1;
}

bool
qid_parse(struct span s, uint64_t *out)
{
	uint64_t id = 0;

	/* Thirteen digits hold 65 bits: the first may only be 0 to F. */
	if (s.n != QID_SIZE - 1 || digit_of(s.p[0]) > 15)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		int d = digit_of(s.p[i]);
		if (d < 0)
			return false;
		id = id << 5 | (uint64_t)d;
	}
	*out = id;
	return true;
}

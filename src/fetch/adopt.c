/* Taking what is in a mailbox as seen. */
#include "look.h"

bool
fetch_adopt(const struct conf *conf, size_t account, const struct fetch_adopter *to,
		struct fetch_result *result, struct fetch_look *look)
{
	return look_once(conf, account, to, result, look);
}

/* One look into a mailbox, without a pool. */
#include "look.h"

bool
fetch_try(const struct conf *conf, size_t account, struct fetch_result *result,
		struct fetch_look *look)
{
	return look_once(conf, account, NULL, result, look);
}

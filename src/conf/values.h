/* values: readers of single values that only this room needs. */
#ifndef CONF_VALUES_H
#define CONF_VALUES_H

#include "postern/conf_load.h"

enum { CONF_PATH_MAX = 3000 };

/* An address without brackets or zone; IPv4 as v4-mapped. */
bool ip_parse(struct span text, uint8_t out[16], bool *ip4);
/* "sha256//BASE64", several separated by ';': what sys' tls_pin_valid takes. */
bool pins_ok(struct span text);
bool listen_parse(struct span text, struct arena *a, struct conf_host *out,
		const char **why);

bool field_name_ok(struct span s); /* of a header field */

#endif

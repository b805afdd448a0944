/* conf_rows: the settings as a table. One row per key drives parser, JSON
 * Schema, `config defaults` and the manual. */
#ifndef POSTERN_CONF_ROWS_H
#define POSTERN_CONF_ROWS_H

#include "postern/buf.h"

struct conf_setting {
	const char *path; /* "server.hostname", "accounts.NAME.tls", "smtp.listen[].tls" */
	const char *preset; /* as it would be written; NULL: unset */
	const char *unit; /* "duration", "size", "path", "host", ...: what the value is */
	const char *least, *most; /* as it would be written; NULL: no bound */
	const char *says; /* one sentence */
	bool required;
	bool later; /* its feature is not there yet: the key is refused */
};

/* Calls each(host, setting) for every key that holds a value, in the order of
 * SPEC section 3; strings are valid during the call only. */
void conf_settings_each(
		void (*each)(void *host, const struct conf_setting *s), void *host);
/* The JSON Schema (draft 2020-12), ends in LF; false when out is full (64 KB suffice). */
bool conf_schema_print(struct buf *out) __attribute__((warn_unused_result));
/* Every setting with preset and sentence, as commented YAML-like lines. */
bool conf_defaults_print(struct buf *out) __attribute__((warn_unused_result));
/* The same as a JSON array of objects: key, default, unit, text, available. */
bool conf_defaults_json(struct buf *out) __attribute__((warn_unused_result));

#endif

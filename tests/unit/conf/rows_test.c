#include "check.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "postern/conf_load.h"
#include "postern/conf_rows.h"

/* What must stand beside a key so that only the key is judged. */
struct around {
	const char *path, *before, *after;
};

static const struct around arounds[] = {
	{ "accounts.NAME.aliases[].",
			"accounts: { a: { type: global, server: s.test, user: u, password: { env: P }, aliases: [ { ",
			" } ] } }" },
	{ "accounts.NAME.",
			"accounts: { a: { type: global, server: s.test, user: u, password: { env: P }, ",
			" } }" },
	{ "smtp.listen[].", "smtp: { listen: [ { address: '127.0.0.1:25', ", " } ] }" },
	{ "smtp.limits.", "smtp: { limits: { ", " } }" },
	{ "smtp.tls.", "smtp: { tls: { ", " } }" },
	{ "delivery.routes.DOMAIN.auth.",
			"delivery: { routes: { a.test: { to: drop, auth: { ",
			" } } } }" },
	{ "delivery.routes.DOMAIN.", "delivery: { routes: { a.test: { to: drop, ",
			" } } }" },
	{ "server.", "server: { ", " }" },
	{ "smtp.", "smtp: { ", " }" },
	{ "delivery.", "delivery: { ", " }" },
	{ "badmail.", "badmail: { ", " }" },
	{ "dns.", "dns: { ", " }" },
	{ "log.", "log: { ", " }" },
	{ "web.", "web: { ", " }" },
	{ "", "", "" },
};

static struct conf_faults faults;

/* Sets one key and nothing that is not needed; what was said in `said`. */
static bool
set_key(const char *path, const char *value, struct buf *said)
{
	const struct around *a = arounds;
	char text[1000];

	while (strncmp(path, a->path, strlen(a->path)) != 0)
		a++;
	const char *key = path + strlen(a->path);
	(void)snprintf(text, sizeof(text), "%s%s: %s%s\n", a->before, key, value,
			a->after);
	conf_faults_init(&faults);
	struct conf *c = conf_parse(&(struct conf_source){ .text = span_of(text),
						    .path = "p.yaml" },
			&faults);
	buf_clear(said);
	assert_true(buf_addf(said, "%s", text));
	for (size_t i = 0; i < faults.n; i++)
		assert_true(conf_fault_print(&faults.list[i], said));
	bool ok = c != NULL;
	conf_free(c);
	conf_faults_done(&faults);
	return ok;
}

static void
preset_is_taken_from_a_file(void *host, const struct conf_setting *s)
{
	unsigned *n = host;
	struct buf said = BUF_MAX(1 << 16);

	assert_true(strlen(s->says) > 10 && s->says[strlen(s->says) - 1] == '.');
	if (s->later) {
		assert_false(set_key(s->path, "x", &said));
		if (!strstr(buf_cstr(&said), "not available yet in this version"))
			fail_msg("%s: %s", s->path, buf_cstr(&said));
	} else if (s->preset) {
		if (!set_key(s->path, s->preset, &said))
			fail_msg("%s", buf_cstr(&said));
	} else if (!s->required) {
		/* No preset: a wrong value shows that the key is known. */
		assert_false(set_key(s->path, "\"\\x01\"", &said));
		if (strstr(buf_cstr(&said), "unknown key"))
			fail_msg("%s", buf_cstr(&said));
	}
	/* A bound, and one past it. */
	if (s->most && !s->later) {
		if (!set_key(s->path, s->least, &said) ||
				!set_key(s->path, s->most, &said))
			fail_msg("%s", buf_cstr(&said));
		assert_false(set_key(s->path, "99999999999999999", &said) ||
				set_key(s->path, "9999999d", &said));
	}
	++*n;
	buf_done(&said);
}

static void
every_row_can_be_reached(void **state)
{
	(void)state;
	unsigned n = 0;
	conf_settings_each(preset_is_taken_from_a_file, &n);
	assert_true(n > 60);
}

/* One step down the schema: to a key, into a free key, into a list. */
static json_t *
down(json_t *schema, struct span key)
{
	char name[100] = "";
	bool list = key.n > 2 && span_ends_nocase(key, SPAN("[]"));

	if (key.n > 1 && key.p[0] >= 'A' && key.p[0] <= 'Z')
		return json_object_get(schema, "additionalProperties");
	key.n -= list ? 2 : 0;
	assert_true(key.n < sizeof(name));
	memcpy(name, key.p, key.n);
	schema = json_object_get(json_object_get(schema, "properties"), name);
	if (list && !json_object_get(schema, "not")) {
		schema = json_array_get(json_object_get(schema, "anyOf"), 0);
		schema = json_object_get(schema, "items");
		/* A mapping, where a lone text may stand for it. */
		if (json_object_get(schema, "anyOf"))
			schema = json_array_get(json_object_get(schema, "anyOf"), 1);
	}
	return schema;
}

static void
setting_is_in_schema(void *host, const struct conf_setting *s)
{
	struct span path = span_of(s->path);
	json_t *at = host;

	while (path.n > 0 && !json_object_get(at, "not")) {
		at = down(at, span_until(&path, '.'));
		if (!at)
			fail_msg("%s is not in the schema", s->path);
	}
	if (s->later != (json_object_get(at, "not") != NULL))
		fail_msg("%s: the schema is wrong about its being there", s->path);
	if (!s->later) {
		assert_string_equal(
				json_string_value(json_object_get(at, "description")),
				s->says);
		assert_true((json_object_get(at, "default") != NULL) ==
				(s->preset != NULL));
	}
}

static void
schema_is_json_and_knows_every_row(void **state)
{
	(void)state;
	struct buf out = BUF_MAX(64 * 1024);
	json_error_t e;

	assert_true(conf_schema_print(&out));
	json_t *schema = json_loadb(out.p, out.n, JSON_REJECT_DUPLICATES, &e);
	if (!schema)
		fail_msg("%d:%d: %s", e.line, e.column, e.text);
	conf_settings_each(setting_is_in_schema, schema);
	assert_true(json_is_false(json_object_get(schema, "additionalProperties")));
	json_decref(schema);
	buf_done(&out);

	/* A buffer that is too small is said, not overrun. */
	out = BUF_MAX(1000);
	assert_false(conf_schema_print(&out));
	buf_done(&out);
}

struct texts {
	const char *text;
	json_t *json;
	size_t at;
};

static void
setting_is_printed(void *host, const struct conf_setting *s)
{
	struct texts *t = host;
	char line[300];
	json_t *one = json_array_get(t->json, t->at++);

	(void)snprintf(line, sizeof(line), "\n%s%s: %s\n", s->later ? "# " : "",
			s->path,
			s->preset		      ? s->preset
					: s->required ? "(required)"
						      : "(unset)");
	if (!strstr(t->text, line) || !strstr(t->text, s->says))
		fail_msg("%s", line);
	assert_string_equal(json_string_value(json_object_get(one, "key")), s->path);
	assert_string_equal(json_string_value(json_object_get(one, "text")), s->says);
	assert_true(json_is_true(json_object_get(one, "available")) == !s->later);
}

static void
defaults_name_every_row(void **state)
{
	(void)state;
	struct buf text = BUF_MAX(64 * 1024), json = BUF_MAX(64 * 1024);
	json_error_t e;

	assert_true(conf_defaults_print(&text));
	assert_true(conf_defaults_json(&json));
	struct texts t = { .text = buf_cstr(&text),
		.json = json_loadb(json.p, json.n, 0, &e) };
	assert_non_null(t.json);
	conf_settings_each(setting_is_printed, &t);
	assert_int_equal(t.at, json_array_size(t.json));
	json_decref(t.json);
	buf_done(&text);
	buf_done(&json);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_row_can_be_reached),
		cmocka_unit_test(schema_is_json_and_knows_every_row),
		cmocka_unit_test(defaults_name_every_row),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

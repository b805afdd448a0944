#include "talk.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "check.h"
#include "postern/must.h"
#include "postern/num.h"

static unsigned
hex(char c)
{
	return (unsigned)(c <= '9' ? c - '0' : (c | 32) - 'a' + 10);
}

void
talk_unescape(struct buf *out, struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (c == '\\' && i + 1 < s.n) {
			c = s.p[++i];
			if (c == 'r' || c == 'n') {
				c = c == 'r' ? '\r' : '\n';
			} else if (c == 'x') {
				c = (char)(hex(s.p[i + 1]) << 4 | hex(s.p[i + 2]));
				i += 2;
			}
		} else if (c == '{') {
			struct span count = span_skip(s, i + 2);
			uint64_t n = 0;

			count = span_first(count, span_find(count, '}'));
			MUST(num_u64(count, 1 << 24, &n));
			for (uint64_t k = 0; k < n; k++)
				MUST(buf_addc(out, s.p[i + 1]));
			i += 2 + count.n;
			continue;
		}
		MUST(buf_addc(out, c));
	}
}

static struct span
read_talk(const char *folder, const char *name, char *space, size_t size)
{
	char path[4096];

	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	FILE *f = fopen(path, "re");
	assert_non_null(f);
	size_t n = fread(space, 1, size, f);
	assert_true(n < size);
	assert_int_equal(fclose(f), 0);
	return (struct span){ space, n };
}

unsigned
talk_each(const char *folder,
		void (*hold)(const char *name, struct span text, size_t step))
{
	static char text[1 << 16];
	DIR *dir = opendir(folder);
	unsigned held = 0;
	struct dirent *e;

	assert_non_null(dir);
	while ((e = readdir(dir))) { // NOLINT(concurrency-mt-unsafe)
		if (!strstr(e->d_name, ".talk"))
			continue;
		struct span talk = read_talk(folder, e->d_name, text, sizeof(text));

		for (size_t step = 1; step < 100; step++)
			hold(e->d_name, talk, step);
		for (size_t step = 100; step < 100000; step = step * 5 / 4 + 1)
			hold(e->d_name, talk, step);
		held++;
	}
	assert_int_equal(closedir(dir), 0);
	return held;
}

/* The samples that administrators copy must be right. Usage: FILE [POLICY...] */
#include <stdio.h>
#include <stdlib.h>

#include "postern/conf_load.h"

static bool
read_file(const char *path, struct buf *out)
{
	FILE *f = fopen(path, "r");
	char *p;
	size_t n = 0;

	if (!f)
		return false;
	while ((p = buf_room(out, 4096)) && (n = fread(p, 1, 4096, f)) > 0)
		buf_grown(out, n);
	(void)fclose(f);
	return p && n == 0;
}

int
main(int argc, char **argv)
{
	static struct conf_faults faults;
	struct buf text = BUF_MAX(1 << 20), said = BUF_MAX(1 << 20);
	int wrong = argc < 2;

	for (int i = 1; i < argc; i++) {
		buf_clear(&text);
		buf_clear(&said);
		conf_faults_init(&faults);
		if (!read_file(argv[i], &text)) {
			perror(argv[i]);
			return 1;
		}
		struct conf_source src = { .text = buf_span(&text), .path = argv[i] };
		if (i == 1)
			conf_free(conf_parse(&src, &faults));
		else
			policy_doc_free(policy_doc_parse(&src, &faults));
		for (size_t n = 0; n < faults.n; n++)
			wrong |= !conf_fault_print(&faults.list[n], &said);
		wrong |= faults.n > 0;
		(void)fwrite(said.p, 1, said.n, stderr);
		conf_faults_done(&faults);
	}
	buf_done(&text);
	buf_done(&said);
	return wrong;
}

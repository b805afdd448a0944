/* import: from the files of fetchmail, getmail and mpop. */
#ifndef CLI_IMPORT_H
#define CLI_IMPORT_H

#include "cli.h"
#include "postern/rcfile.h"

struct import {
	struct cli *c;
	enum rc_format format;
	const char *path; /* of the rc file, as given */
	const char *folder; /* of it, "." or with a slash behind */
	const char *domain; /* completes local names */
	const char *secrets; /* folder that takes the passwords, absolute; or NULL */
	const char *ids; /* the list of what was fetched; NULL: where it usually is */
	struct rc_file *file;
	struct arena arena; /* of paths */
	json_t *state; /* what import_state did */
};

/* "~/x" with $HOME, and what is relative with the folder of the rc file; in the
 * import's arena. */
const char *import_path(struct import *im, const char *path);

/* The accounts section, and what could not be carried over, as comments in it. */
void import_print_yaml(struct import *im, FILE *f);
json_t *import_json(struct import *im);
/* One line for each thing that could not be carried over: FILE:LINE: TEXT. */
void import_print_notes(struct import *im, FILE *f);

/* Takes over the lists of messages already fetched. A status to exit with. */
int import_state(struct import *im);

#endif

/* secret: where a password comes from. Only the place, never the password:
 * sys/secret_read fetches it when it is needed. */
#ifndef POSTERN_SECRET_H
#define POSTERN_SECRET_H

enum secret_kind {
	SECRET_NONE,
	SECRET_FILE, /* path; refused when group or others can read it */
	SECRET_ENV, /* name of a variable */
	SECRET_COMMAND, /* argv, no shell, first line of its output */
	SECRET_CREDENTIAL, /* name below $CREDENTIALS_DIRECTORY (systemd) */
	SECRET_VALUE, /* the text itself; warned about */
};

struct secret {
	enum secret_kind kind;
	const char *text; /* path, name or value */
	const char *const *argv; /* command only, NULL at the end */
};

#endif

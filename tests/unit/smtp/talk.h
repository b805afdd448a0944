/* talk: conversations on file, for both engines. */
#ifndef SMTP_TALK_H
#define SMTP_TALK_H

#include "postern/buf.h"

/* Escapes: \r \n \xNN \\, and {cN} for N times the character c. */
void talk_unescape(struct buf *out, struct span s);
/* Holds every *.talk of the folder at every step size. Returns how many there are. */
unsigned talk_each(const char *folder,
		void (*hold)(const char *name, struct span text, size_t step));

#endif
